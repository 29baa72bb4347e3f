"""Invokes the sweep after every unsuccessful execution, and every ``SWEEP_MINUTES`` minutes."""

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from infra.functions import Functions
from infra.settings import Settings
from infra.workflow import state_machine_arn

SWEEP_MINUTES = 15


class Janitor(Construct):
    """Two rules that invoke ``sweep``, because an aborted or timed-out execution runs no Catch to tear models down."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, functions: Functions) -> None:
        super().__init__(scope, construct_id)
        sweep = targets.LambdaFunction(
            functions["sweep"],
            dead_letter_queue=functions.dead_letters,
            retry_attempts=5,
            max_event_age=Duration.hours(1),
        )
        events.Rule(
            self,
            "ExecutionEnded",
            rule_name=f"{settings.deployment_id}-execution-ended",
            description="A run ended without success: sweep what it left",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                detail={
                    "status": ["ABORTED", "TIMED_OUT", "FAILED"],
                    "stateMachineArn": [state_machine_arn(self, settings)],
                },
            ),
            targets=[sweep],
        )
        events.Rule(
            self,
            "Schedule",
            rule_name=f"{settings.deployment_id}-sweep",
            description="Sweep what belongs to no running execution",
            schedule=events.Schedule.rate(Duration.minutes(SWEEP_MINUTES)),
            targets=[sweep],
        )
