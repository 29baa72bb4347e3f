"""Starts a run for every new object under ``incoming/``, as many at a time as the settings allow."""

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from contract.layout import INCOMING_PREFIX
from contract.payloads import TakeEvent
from infra.encryption import Encryption
from infra.functions import CALL_SECONDS, Functions
from infra.policies import acknowledge
from infra.queues import build_dead_letters, build_queue
from infra.settings import Settings
from infra.storage import Storage
from infra.workflow import state_machine_arn

LOOK_MINUTES = 5
_ATTEMPTS = 5
# S3's event reaches the queue and the function at nearly the same time, in any order.
_EVENT_WAIT_SECONDS = 5


class Trigger(Construct):
    """S3's "Object Created" events go to a queue, from which ``start_run`` takes them while runs may be started.

    The function looks into the queue when an object was created, when a run has ended, and every few minutes in case
    one of these events was lost.

    Attributes
    ----------
    rule
        Matches the objects that start a run. Events that cannot be delivered go to the dead letters.
    queue
        Keeps the events in order of arrival until their runs may start.
    given_up
        Keeps the events whose runs could not be started in several attempts.
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
        self._start_run = functions["start_run"]
        # The dead letters of a FIFO queue are in a FIFO queue, to which EventBridge and Lambda cannot send theirs.
        self.given_up = build_dead_letters(
            self, "GivenUp", name=f"{settings.deployment_id}-given-up.fifo", encryption=encryption
        )
        self.queue = build_queue(
            self,
            "Queue",
            name=f"{settings.deployment_id}-arrivals.fifo",
            encryption=encryption,
            content_based_deduplication=True,
            # A message that start_run did not delete can be received again once its invocation must have ended.
            visibility_timeout=Duration.seconds(CALL_SECONDS),
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.given_up, max_receive_count=_ATTEMPTS),
        )
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
                targets.SqsQueue(
                    self.queue,
                    message_group_id="runs",
                    dead_letter_queue=functions.dead_letters,
                    retry_attempts=20,
                    max_event_age=Duration.hours(24),
                ),
                self._look_into_queue(_EVENT_WAIT_SECONDS),
            ],
        )
        ended = events.Rule(
            self,
            "RunEnded",
            rule_name=f"{settings.deployment_id}-run-ended",
            description="A run ended: start the next one",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                detail={
                    "status": ["SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT"],
                    "stateMachineArn": [state_machine_arn(self, settings)],
                },
            ),
            targets=[self._look_into_queue(_EVENT_WAIT_SECONDS)],
        )
        schedule = events.Rule(
            self,
            "Schedule",
            rule_name=f"{settings.deployment_id}-start-waiting",
            description="Start runs that wait in the queue",
            schedule=events.Schedule.rate(Duration.minutes(LOOK_MINUTES)),
            targets=[self._look_into_queue(0)],
        )
        for rule in (self.rule, ended, schedule):
            reason = "An invocation of start_run carries no event of an object, and the next one does the same"
            acknowledge(rule, "Serverless-EventBusDLQ", reason)

    def _look_into_queue(self, wait_seconds: float) -> targets.LambdaFunction:
        event = TakeEvent(wait_seconds=wait_seconds)
        return targets.LambdaFunction(self._start_run, event=events.RuleTargetInput.from_object(event))
