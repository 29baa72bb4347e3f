"""The customer managed key of a deployment, for its topic and, if the settings say ``kms``, for its data."""

from aws_cdk import Aws, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.settings import Settings


class Encryption(Construct):
    """One rotating key, and whether data is encrypted with it.

    The topic needs a customer managed key in either mode. CloudWatch alarms cannot publish to a topic that the AWS
    managed key of SNS encrypts, because the policy of that key cannot be changed to allow it.

    Attributes
    ----------
    topic_key
        Encrypts the topic.
    data_key
        Encrypts buckets, queues, logs, and SageMaker's volumes and outputs; ``None`` if keys owned by AWS do.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        encrypts_data = settings.encryption == "kms"
        existing = settings.existing_key_arn
        self.topic_key: kms.IKey = (
            kms.Key.from_key_arn(self, "Key", existing) if existing else self._build_key(settings)
        )
        self.data_key = self.topic_key if encrypts_data else None
        # These statements are added to the key of this stack; the owner of an existing key adds them to its policy.
        self._let_service_use("cloudwatch.amazonaws.com")
        if settings.monthly_budget_usd is not None:
            self._let_service_use("budgets.amazonaws.com")
        if encrypts_data:
            # AWS does not document that EventBridge sends aws:SourceAccount when it encrypts events for a queue.
            # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-troubleshooting.html
            self._let_service_use("events.amazonaws.com", only_this_account=False)
            self._let_logs_use(settings.deployment_id)

    def _build_key(self, settings: Settings) -> kms.Key:
        encrypts_data = settings.encryption == "kms"
        return kms.Key(
            self,
            "Key",
            description=f"{settings.deployment_id}: {'topic and data' if encrypts_data else 'topic'}",
            alias=f"alias/{settings.deployment_id}",
            enable_key_rotation=True,
            # Without its key, encrypted data is lost, so the key is retained if the data is.
            removal_policy=RemovalPolicy.RETAIN if settings.retain_data and encrypts_data else RemovalPolicy.DESTROY,
        )

    def _let_service_use(self, service: str, *, only_this_account: bool = True) -> None:
        self.topic_key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(service)],
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}} if only_this_account else None,
            )
        )

    def _let_logs_use(self, stack_name: str) -> None:
        groups = f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:*{stack_name}*"
        self.topic_key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"logs.{Aws.REGION}.{Aws.URL_SUFFIX}")],
                actions=["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
                resources=["*"],
                conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}},
            )
        )
