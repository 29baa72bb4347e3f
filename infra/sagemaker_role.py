"""The role of SageMaker's training jobs and endpoints, with only the permissions that AWS documents as required."""

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from constructs import Construct

from contract.layout import ANY_RUN
from infra.algorithm_images import AlgorithmImages
from infra.encryption import Encryption
from infra.policies import allow
from infra.roles import build_role
from infra.settings import Settings
from infra.storage import Storage

_ROLES_PAGE = "https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html"
_KMS_PAGE = "https://docs.aws.amazon.com/sagemaker/latest/dg/encryption-at-rest.html"

_VPC_PAGE = (
    "https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html#sagemaker-roles-createtrainingjob-perms"
)
_NETWORK_INTERFACES = (
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeVpcs",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeSubnets",
    "ec2:DescribeSecurityGroups",
)

NOT_REHEARSED: dict[str, tuple[str, str]] = {
    **dict.fromkeys(_NETWORK_INTERFACES, ("Attaches jobs and models to the subnets of a VPC.", _VPC_PAGE)),
    "cloudwatch:PutMetricData": ("Training and hosting publish their instances' metrics.", _ROLES_PAGE),
    "ecr:GetAuthorizationToken": ("SageMaker pulls the algorithm's image as this role.", _ROLES_PAGE),
    "ecr:BatchCheckLayerAvailability": ("SageMaker pulls the algorithm's image as this role.", _ROLES_PAGE),
    "ecr:GetDownloadUrlForLayer": ("SageMaker pulls the algorithm's image as this role.", _ROLES_PAGE),
    "ecr:BatchGetImage": ("SageMaker pulls the algorithm's image as this role.", _ROLES_PAGE),
    "logs:CreateLogGroup": ("The first job or endpoint of an account makes the log group.", _ROLES_PAGE),
    "logs:CreateLogStream": ("Containers' logs.", _ROLES_PAGE),
    "logs:DescribeLogStreams": ("Containers' logs.", _ROLES_PAGE),
    "logs:PutLogEvents": ("Containers' logs.", _ROLES_PAGE),
    "kms:CreateGrant": ("SageMaker attaches volumes that the customer key encrypts.", _KMS_PAGE),
    "kms:Decrypt": ("Reads inputs and artifacts that the customer key encrypts.", _KMS_PAGE),
    "kms:DescribeKey": ("SageMaker attaches volumes that the customer key encrypts.", _KMS_PAGE),
    "kms:Encrypt": ("Writes artifacts that the customer key encrypts.", _KMS_PAGE),
    "kms:GenerateDataKey": ("Writes artifacts that the customer key encrypts.", _KMS_PAGE),
    "kms:GenerateDataKeyWithoutPlaintext": ("SageMaker makes volumes that the customer key encrypts.", _KMS_PAGE),
}
"""The permissions that a rehearsal may not use: why each is needed, and the page on which AWS requires it."""


class SageMakerRole(Construct):
    """The execution role.

    Attributes
    ----------
    role
        The role that the launching functions pass to SageMaker.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        storage: Storage,
        encryption: Encryption,
        images: AlgorithmImages,
    ) -> None:
        super().__init__(scope, construct_id)
        self.role = build_role(
            self,
            "Role",
            settings=settings,
            name=f"{settings.deployment_id}-sagemaker",
            assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"),
            description="Taken by SageMaker for training and hosting",
        )
        self._allow_data(storage, hosts_models=settings.hosts_models)
        self._allow_key(encryption)
        self._allow_logs_and_metrics()
        self._allow_images(images)
        if settings.vpc_subnet_ids:
            self._allow_network_interfaces()

    def _allow_data(self, storage: Storage, *, hosts_models: bool) -> None:
        results = storage.results
        because = "Every run has its own folder, named when it starts"
        # Only an endpoint reads what training wrote.
        read = (ANY_RUN.train, ANY_RUN.projected, *([ANY_RUN.models] if hosts_models else []))
        allow(self.role, ["s3:GetObject"], [results.arn_for_objects(f"{each}*") for each in read], because=because)
        allow(self.role, ["s3:PutObject"], [results.arn_for_objects(f"{ANY_RUN.models}*")], because=because)
        # Without a condition on s3:prefix, because CreateTrainingJob also checks the bucket by a request without one.
        # The sample policy of the developer guide grants it in the same way.
        allow(self.role, ["s3:ListBucket"], [results.bucket_arn])

    def _allow_key(self, encryption: Encryption) -> None:
        if encryption.data_key is None:
            return
        key = [encryption.data_key.key_arn]
        use = ["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
        # It is unknown whether SageMaker's request has kms:GrantIsForAWSResource, so no condition depends on it.
        use += ["kms:GenerateDataKeyWithoutPlaintext", "kms:CreateGrant"]
        allow(self.role, use, key)

    def _allow_logs_and_metrics(self) -> None:
        groups = f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:/aws/sagemaker/*"
        write = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        allow(self.role, write, [groups], because="SageMaker names a log group for each endpoint")
        namespaces = {"StringLike": {"cloudwatch:namespace": ["/aws/sagemaker/*", "AWS/SageMaker"]}}
        unscoped = "The action takes no resource; its condition names the metrics' namespaces"
        allow(self.role, ["cloudwatch:PutMetricData"], ["*"], conditions=namespaces, because=unscoped)

    def _allow_network_interfaces(self) -> None:
        unscoped = "AWS's policy for jobs and models in a VPC names no resource: interfaces get their ids when created"
        allow(self.role, _NETWORK_INTERFACES, ["*"], because=unscoped)

    def _allow_images(self, images: AlgorithmImages) -> None:
        allow(self.role, ["ecr:GetAuthorizationToken"], ["*"], because="The action takes no resource")
        pull = ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]
        allow(self.role, pull, images.repository_arns)
