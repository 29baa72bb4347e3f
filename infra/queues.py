"""Creates queues: encrypted, reached over TLS only, with messages kept for as long as SQS can."""

from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.encryption import Encryption
from infra.policies import acknowledge


def build_queue(scope: Construct, construct_id: str, *, name: str, encryption: Encryption, **more: Any) -> sqs.Queue:
    """Return a queue; `more` are further properties of it. A name that ends in ``.fifo`` makes it a FIFO queue."""
    key = encryption.data_key
    return sqs.Queue(
        scope,
        construct_id,
        queue_name=name,
        fifo=name.endswith(".fifo") or None,
        encryption=sqs.QueueEncryption.KMS if key else sqs.QueueEncryption.SQS_MANAGED,
        encryption_master_key=key,
        enforce_ssl=True,
        retention_period=Duration.days(14),
        **more,
    )


def build_dead_letters(scope: Construct, construct_id: str, *, name: str, encryption: Encryption) -> sqs.Queue:
    """Return a queue for the messages and events that nothing could handle; it has no such queue itself."""
    queue = build_queue(scope, construct_id, name=name, encryption=encryption)
    acknowledge(queue, "AwsSolutions-SQS3", "It is the dead-letter queue itself")
    acknowledge(queue, "Serverless-SQSRedrivePolicy", "It is the dead-letter queue itself")
    return queue
