"""The buckets for CSVs, results and access logs: private, versioned, and reachable over TLS only."""

from collections.abc import Callable

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_s3 as s3
from constructs import Construct

from contract.names import ARTIFACT_TAG
from infra.encryption import Encryption
from infra.policies import acknowledge_control
from infra.settings import Settings


class Storage(Construct):
    """The three buckets, of which the first two may exist already.

    Attributes
    ----------
    incoming
        An object ``incoming/<name>.csv`` starts a run; runs never delete it.
    results
        ``runs/<run id>/…`` and ``latest.json``.
    access_logs
        The access logs of the other two; ``None`` if both exist already, so that their owner decides about logs.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, encryption: Encryption) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        self._encryption = encryption
        existing = (settings.existing_incoming_bucket, settings.existing_results_bucket)
        self.access_logs = None if all(existing) else self._build_access_logs()
        self.incoming = self._existing_or("Incoming", existing[0], self._build_incoming)
        self.results = self._existing_or("Results", existing[1], self._build_results)

    def _existing_or(self, construct_id: str, name: str | None, build: Callable[[], s3.Bucket]) -> s3.IBucket:
        return s3.Bucket.from_bucket_name(self, construct_id, name) if name else build()

    def _build_incoming(self) -> s3.Bucket:
        bucket = self._build_bucket("Incoming", lifecycle_rules=[_abort_uploads()])
        self._announce_objects(bucket)
        return bucket

    def _build_results(self) -> s3.Bucket:
        return self._build_bucket("Results", lifecycle_rules=[_abort_uploads(), *self._expire_artifacts()])

    def _build_access_logs(self) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "AccessLogs",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            # S3 delivers access logs to buckets with Amazon S3 managed keys without any further policy.
            encryption=s3.BucketEncryption.S3_MANAGED,
            versioned=True,
            lifecycle_rules=[
                _abort_uploads(),
                s3.LifecycleRule(
                    id="expire-logs",
                    expiration=Duration.days(self._settings.log_retention_days),
                    noncurrent_version_expiration=Duration.days(1),
                ),
            ],
            removal_policy=self._removal_policy,
        )
        acknowledge_control(bucket, "S3BucketReplicationEnabled", "Access logs are kept for a limited time only")
        acknowledge_control(bucket, "S3DefaultEncryptionKMS", "S3 delivers access logs with its own keys by default")
        return bucket

    def _build_bucket(self, name: str, *, lifecycle_rules: list[s3.LifecycleRule]) -> s3.Bucket:
        key = self._encryption.data_key
        bucket = s3.Bucket(
            self,
            name,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            encryption=s3.BucketEncryption.KMS if key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=key,
            bucket_key_enabled=True if key else None,
            versioned=True,
            lifecycle_rules=lifecycle_rules,
            server_access_logs_bucket=self.access_logs,
            server_access_logs_prefix=f"{name.lower()}/",
            removal_policy=self._removal_policy,
        )
        reason = "Old versions are kept; if a copy in another region is required, use an existing bucket that has one"
        acknowledge_control(bucket, "S3BucketReplicationEnabled", reason)
        if key is None:
            reason = "S3 encrypts it with its own keys; with `encryption: kms`, it has the deployment's key"
            acknowledge_control(bucket, "S3DefaultEncryptionKMS", reason)
        return bucket

    def _expire_artifacts(self) -> list[s3.LifecycleRule]:
        expiry = Duration.days(self._settings.artifact_expiry_days)
        # In a versioned bucket the expiration only adds a delete marker; the object becomes a noncurrent version, which
        # then has to expire in its turn. One day is the shortest time that S3 allows.
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-expire-general-considerations.html
        return [
            s3.LifecycleRule(
                id="expire-artifacts",
                tag_filters=dict([ARTIFACT_TAG]),
                expiration=expiry,
                noncurrent_version_expiration=Duration.days(1),
            ),
            s3.LifecycleRule(id="expire-replaced", noncurrent_version_expiration=expiry),
            s3.LifecycleRule(id="remove-delete-markers", expired_object_delete_marker=True),
        ]

    def _announce_objects(self, bucket: s3.Bucket) -> None:
        # Bucket(event_bridge_enabled=True) would need a custom resource and a function for the same property.
        resource = bucket.node.default_child
        assert isinstance(resource, s3.CfnBucket)  # noqa: S101 - for the type checker: a Bucket's child is one
        resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
        )

    @property
    def _removal_policy(self) -> RemovalPolicy:
        return RemovalPolicy.RETAIN if self._settings.retain_data else RemovalPolicy.DESTROY


def _abort_uploads() -> s3.LifecycleRule:
    return s3.LifecycleRule(id="abort-uploads", abort_incomplete_multipart_upload_after=Duration.days(7))
