"""The start of a run: a new object under ``incoming/``."""

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from contract.layout import INCOMING_PREFIX
from infra.functions import Functions
from infra.settings import Settings
from infra.storage import Storage


class Trigger(Construct):
    """The rule from S3's "Object Created" to ``start_run``; events that cannot be delivered go to the dead letters.

    Attributes
    ----------
    rule
        Matches the objects that start a run.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, storage: Storage, functions: Functions
    ) -> None:
        super().__init__(scope, construct_id)
        self.rule = events.Rule(
            self,
            "Rule",
            rule_name=f"{settings.deployment_id}-object-created",
            description="A CSV was uploaded: start its run",
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
