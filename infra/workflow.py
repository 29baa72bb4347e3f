"""The state machine: from the object version of a CSV to labeled counties, with no resource left on any path."""

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.encryption import Encryption
from infra.flow import Flow
from infra.functions import Functions
from infra.logging import build_log_group
from infra.roles import build_role
from infra.settings import Settings
from infra.storage import Storage


def state_machine_arn(scope: Construct, settings: Settings) -> str:
    """Return the machine's ARN, derived from its name so that the functions that it invokes can refer to it."""
    return Stack.of(scope).format_arn(
        service="states",
        resource="stateMachine",
        resource_name=settings.deployment_id,
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )


def execution_arns(scope: Construct, settings: Settings, *, of_map: str | None = None) -> str:
    """Return the pattern of the ARNs of the machine's executions, or of those that one of its maps starts."""
    return Stack.of(scope).format_arn(
        service="states",
        resource="execution",
        resource_name=f"{settings.deployment_id}{f'/{of_map}' if of_map else ''}:*",
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )


class Workflow(Construct):
    """The state machine.

    Attributes
    ----------
    state_machine
        Its name is the deployment's id.
    role
        The role that it assumes; :mod:`infra.grants` says what it may do.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        encryption: Encryption,
        storage: Storage,
        functions: Functions,
    ) -> None:
        super().__init__(scope, construct_id)
        self.role = build_role(
            self,
            "Role",
            settings=settings,
            name=f"{settings.deployment_id}-state-machine",
            assumed_by=iam.ServicePrincipal("states.amazonaws.com"),
            description=f"Taken by the state machine {settings.deployment_id}",
        )
        flow = Flow(self, "Flow", settings=settings, storage=storage, functions=functions)
        logs = build_log_group(
            self,
            "Logs",
            # With this prefix, Step Functions adds nothing to the account's resource policy, whose size is limited.
            name=f"/aws/vendedlogs/states/{settings.deployment_id}",
            settings=settings,
            encryption=encryption,
        )
        self.state_machine = sfn.StateMachine(
            self,
            "StateMachine",
            state_machine_name=settings.deployment_id,
            definition_body=sfn.DefinitionBody.from_chainable(flow.definition),
            comment="From a census CSV to labeled counties",
            timeout=Duration.seconds(settings.execution_timeout_seconds),
            tracing_enabled=True,
            logs=sfn.LogOptions(destination=logs, level=sfn.LogLevel.ALL, include_execution_data=False),
            # CDK's own grants would be wider than those of infra.grants.
            role=self.role.without_policy_updates(),
        )
        self.state_machine.node.add_dependency(self.role)
        # CDK grants the executions of maps to any role that it is given; infra.grants does that for these maps only.
        self.state_machine.node.try_remove_child("DistributedMapPolicy")
