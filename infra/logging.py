"""Creates log groups with the retention period of the settings."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.encryption import Encryption
from infra.policies import acknowledge_control
from infra.settings import LOG_RETENTION_DAYS, Settings


def build_log_group(
    scope: Construct, construct_id: str, *, name: str, settings: Settings, encryption: Encryption
) -> logs.LogGroup:
    """Return a log group that is deleted with the stack."""
    group = logs.LogGroup(
        scope,
        construct_id,
        log_group_name=name,
        retention=logs.RetentionDays[LOG_RETENTION_DAYS[settings.log_retention_days]],
        encryption_key=encryption.data_key,
        removal_policy=RemovalPolicy.DESTROY,
    )
    if encryption.data_key is None:
        reason = "CloudWatch Logs encrypts it with its own key; with `encryption: kms`, it has the deployment's key"
        acknowledge_control(group, "CloudWatchLogGroupEncrypted", reason)
    return group
