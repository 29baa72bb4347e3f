"""What starts a run: an object that lands under ``incoming/``."""

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from contract.layout import INCOMING_PREFIX
from infra.functions import Functions
from infra.settings import Settings
from infra.storage import Storage


class Trigger(Construct):
    """The rule from S3's "Object Created" to ``start_run``; what can't be delivered is kept in the dead letters."""

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, storage: Storage, functions: Functions
    ) -> None:
        super().__init__(scope, construct_id)
        events.Rule(
            self,
            "Rule",
            rule_name=f"{settings.deployment_id}-object-created",
            description="A CSV landed: start its run",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={
                    "bucket": {"name": [storage.incoming.bucket_name]},
                    "object": {"key": [{"prefix": INCOMING_PREFIX}]},
                },
            ),
            targets=[
                targets.LambdaFunction(
                    functions["start_run"],
                    dead_letter_queue=functions.dead_letters,
                    retry_attempts=20,
                    max_event_age=Duration.hours(24),
                )
            ],
        )
