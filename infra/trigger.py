"""Starts a run for every new object under ``incoming/``, as many at a time as the settings allow."""

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from contract.layout import INCOMING_PREFIX
from infra.encryption import Encryption
from infra.functions import CALL_SECONDS, Functions
from infra.policies import acknowledge
from infra.settings import Settings
from infra.storage import Storage


class Trigger(Construct):
    """S3's "Object Created" events go to a queue, from which ``start_run`` takes one at a time.

    Attributes
    ----------
    rule
        Matches the objects that start a run. Events that cannot be delivered go to the dead letters.
    queue
        Keeps the events in order of arrival until their runs may start.
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
        self.queue = self._build_queue(settings, encryption)
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
                )
            ],
        )
        start_run = functions["start_run"]
        mapping = lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=start_run,
            event_source_arn=self.queue.queue_arn,
            batch_size=1,
            report_batch_item_failures=True,
        )
        acknowledge(
            mapping,
            "Serverless-LambdaEventSourceMappingDestination",
            "Lambda sends failed batches of streams to a destination, but not messages of an SQS queue",
        )
        # Lambda refuses the mapping until the role may receive messages.
        mapping.node.add_dependency(functions.role("start_run"))

    def _build_queue(self, settings: Settings, encryption: Encryption) -> sqs.Queue:
        key = encryption.data_key
        queue = sqs.Queue(
            self,
            "Queue",
            queue_name=f"{settings.deployment_id}-arrivals.fifo",
            fifo=True,
            content_based_deduplication=True,
            encryption=sqs.QueueEncryption.KMS if key else sqs.QueueEncryption.SQS_MANAGED,
            encryption_master_key=key,
            enforce_ssl=True,
            retention_period=Duration.days(14),
            # Lambda requires at least the function's time limit.
            visibility_timeout=Duration.seconds(CALL_SECONDS),
        )
        reason = (
            "A message may be received any number of times while it waits; start_run itself sends an"
            " event that cannot start a run to the dead letters"
        )
        acknowledge(queue, "AwsSolutions-SQS3", reason)
        acknowledge(queue, "Serverless-SQSRedrivePolicy", reason)
        return queue
