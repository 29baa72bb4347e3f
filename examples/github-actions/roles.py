"""A stack with the two roles that GitHub Actions assumes for one stage: one compares, one deploys."""

import sys

from aws_cdk import App, Aws, CfnOutput, DefaultStackSynthesizer, Environment, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from contract.layout import INCOMING_PREFIX
from infra.policies import allow
from infra.roles import build_role
from infra.settings import Settings

GITHUB = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
PRODUCTION = "prod"
"""The stage into which the workflow uploads no synthetic census."""


class PipelineRoles(Stack):
    """The roles by which the workflow of one repository compares and deploys one stage.

    Parameters
    ----------
    repository
        As GitHub names it in the subject of its tokens: ``owner/name``, or ``owner@id/name@id`` for a repository with
        immutable subject claims.
    settings
        The settings of the stage. The deploying role trusts the GitHub environment that has the stage's name.
    provider_arn
        The account's OIDC provider of GitHub, if it has one already. An account can have only one.
    """

    def __init__(
        self, scope: Construct, *, repository: str, settings: Settings, provider_arn: str | None = None
    ) -> None:
        super().__init__(
            scope,
            f"{settings.deployment_id}-github",
            description=f"Roles by which GitHub Actions compares and deploys {settings.deployment_id}",
            env=Environment(account=settings.account, region=settings.region),
            synthesizer=DefaultStackSynthesizer(qualifier=settings.bootstrap_qualifier),
            tags=settings.tags,
        )
        self._repository = repository
        self._settings = settings
        self._qualifier = settings.bootstrap_qualifier or DefaultStackSynthesizer.DEFAULT_QUALIFIER
        self._provider_arn = provider_arn or self._build_provider()
        compare = self._build_role("Compare", "pull_request", "Reads what is deployed, for pull requests")
        self._let_assume(compare, "lookup")
        deploy = self._build_role("Deploy", f"environment:{settings.stage}", "Checks the account and deploys")
        self._let_assume(deploy, "lookup", "file-publishing", "deploy")
        self._let_read_the_account(deploy)
        self._let_read_the_deployment(deploy)
        self._let_read_existing_buckets(deploy)
        if settings.stage != PRODUCTION:
            self._let_check(deploy)

    def _build_provider(self) -> str:
        # IAM finds out the thumbprint of the issuer's certificate.
        provider = iam.OidcProviderNative(self, "Provider", url=f"https://{GITHUB}", client_ids=[AUDIENCE])
        return provider.oidc_provider_arn

    def _build_role(self, name: str, context: str, description: str) -> iam.Role:
        """Return a role that jobs of the repository assume, if the subject of their token ends in `context`."""
        subject = f"repo:{self._repository}:{context}"
        conditions = {"StringEquals": {f"{GITHUB}:aud": AUDIENCE, f"{GITHUB}:sub": subject}}
        role = build_role(
            self,
            name,
            settings=self._settings,
            name=f"{self._settings.deployment_id}-github-{name.lower()}",
            assumed_by=iam.WebIdentityPrincipal(self._provider_arn, conditions),
            description=description,
        )
        CfnOutput(self, f"{name}RoleArn", value=role.role_arn)
        return role

    def _let_assume(self, role: iam.Role, *names: str) -> None:
        """Let a role assume roles of the CDK's bootstrap stack, which hold the permissions to read and to deploy."""
        suffix = f"{Aws.ACCOUNT_ID}-{Aws.REGION}"
        roles = [_arn("iam", f"role/cdk-{self._qualifier}-{name}-role-{suffix}", region="") for name in names]
        allow(role, ["sts:AssumeRole"], roles)

    def _let_read_the_account(self, role: iam.Role) -> None:
        """Let a role read what ``preflight`` reads of the account and of the role's own permissions."""
        allow(role, ["ssm:GetParameter"], [_arn("ssm", f"parameter/cdk-bootstrap/{self._qualifier}/version")])
        allow(role, ["iam:GetRole", "iam:SimulatePrincipalPolicy"], [role.role_arn])
        allow(
            role,
            [
                "ce:ListCostAllocationTags",
                "sagemaker:ListEndpoints",
                "sagemaker:ListTrainingJobs",
                "servicequotas:ListServiceQuotas",
            ],
            ["*"],
            because="These actions take no resource",
        )
        kinds = ("training-job", "endpoint", "endpoint-config")
        allow(
            role,
            ["sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig", "sagemaker:DescribeTrainingJob"],
            [_arn("sagemaker", f"{kind}/*") for kind in kinds],
            because="Everything that runs in the account counts against the quotas",
        )

    def _let_read_the_deployment(self, role: iam.Role) -> None:
        """Let a role look for the stack, and for resources that have the names that the stack wants."""
        name = self._settings.deployment_id
        named = {
            "cloudformation:DescribeStacks": _arn("cloudformation", f"stack/{name}/*"),
            "lambda:GetFunctionConfiguration": _arn("lambda", f"function:{name}-*"),
            "logs:DescribeLogGroups": _arn("logs", "log-group:*"),
            "sns:GetTopicAttributes": _arn("sns", f"{name}-*"),
            "sqs:GetQueueUrl": _arn("sqs", f"{name}-*"),
        }
        for action, resource in named.items():
            allow(role, [action], [resource], because="The names start with the deployment's id; the action only reads")
        allow(role, ["states:DescribeStateMachine"], [_arn("states", f"stateMachine:{name}")])
        allow(
            role,
            ["kms:DescribeKey"],
            [_arn("kms", "key/*")],
            conditions={"StringEquals": {"kms:RequestAlias": f"alias/{name}"}},
            because="The condition names the key by its alias",
        )

    def _let_read_existing_buckets(self, role: iam.Role) -> None:
        existing = (self._settings.existing_incoming_bucket, self._settings.existing_results_bucket)
        arns = [_bucket(name) for name in existing if name]
        if arns:
            allow(role, ["s3:GetBucketNotification", "s3:GetBucketVersioning", "s3:ListBucket"], arns)

    def _let_check(self, role: iam.Role) -> None:
        """Let a role upload the file of check.py, and read how its run ends."""
        name = self._settings.deployment_id
        reason = "CloudFormation completes the name of the incoming bucket; a run's id is known when it starts"
        bucket = self._settings.existing_incoming_bucket or f"{name}-*"
        allow(role, ["s3:PutObject"], [f"{_bucket(bucket)}/{INCOMING_PREFIX}pipeline/census.csv"], because=reason)
        allow(role, ["states:DescribeExecution"], [_arn("states", f"execution:{name}:*")], because=reason)
        if self._settings.existing_key_arn:
            allow(role, ["kms:GenerateDataKey"], [self._settings.existing_key_arn])
        elif self._settings.encryption == "kms":
            allow(
                role,
                ["kms:GenerateDataKey"],
                [_arn("kms", "key/*")],
                conditions={"ForAnyValue:StringEquals": {"kms:ResourceAliases": f"alias/{name}"}},
                because="The condition names the key by its alias",
            )


def _arn(service: str, resource: str, *, region: str = Aws.REGION) -> str:
    """Return the ARN of a resource in this account."""
    return f"arn:{Aws.PARTITION}:{service}:{region}:{Aws.ACCOUNT_ID}:{resource}"


def _bucket(name: str) -> str:
    return f"arn:{Aws.PARTITION}:s3:::{name}"


def main() -> None:
    """Synthesize the roles of the stage and the repository that the CDK context names."""
    app = App()
    context = app.node.get_all_context()
    if "repository" not in context:
        sys.exit("no repository is given; add -c repository=owner/name")
    PipelineRoles(
        app,
        repository=context["repository"],
        settings=Settings.from_context(context),
        provider_arn=context.get("provider"),
    )
    app.synth()


if __name__ == "__main__":
    main()
