"""Deletes a copy of the stack with everything that its template retains, and verifies that nothing is left."""

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from botocore.exceptions import ClientError

from contract.names import ENDPOINT_LOGS, STACK_TAG
from local.account import Account
from local.destroy import Waits, destroy
from local.preflight import taken_names
from local.stack import sagemaker_leftovers
from local.template import Template

VERIFY_SECONDS: Final = 600.0
"""How long what was deleted may still be listed: lists of tagged resources are eventually consistent."""

_COMPLETE: Final = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
_TRAINING_LOGS: Final = "/aws/sagemaker/TrainingJobs"
_KEY_DELETION_DAYS: Final = 7  # the shortest time that KMS allows


def clean_up(
    account: Account,
    template: Template,
    delete: Callable[[], None],
    *,
    waits: Waits,
    report: Callable[[str], None],
) -> list[str]:
    """Delete a stack with its data, whatever state it is in.

    Its runs are stopped. The buckets and keys that its template retains are deleted, and so are the logs that SageMaker
    wrote for its training jobs and endpoints.

    Parameters
    ----------
    delete
        Deletes the stack, except for what its template retains.
    waits
        How long to wait for SageMaker.
    report
        Is called with a line for each thing that is waited for.

    Returns
    -------
    list of str
        What is left.

    Raises
    ------
    UserError
        If SageMaker still has something left at the time limit, or the stack cannot be deleted.
    """
    stack = _settled(account, template.name, waits)
    if stack is not None and stack["StackStatus"] in _COMPLETE:
        destroy(account, template, delete, stop=True, report=report, waits=waits)
    elif stack is not None:
        delete()  # its creation has not ended well, so it has not run anything
    deadline = time.monotonic() + VERIFY_SECONDS
    while True:
        _delete_retained(account, template)
        left = leftovers(account, template)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(waits.poll)


def leftovers(account: Account, template: Template) -> list[str]:
    """Return what exists of a stack, of the data that it retains and of its runs.

    Finished training jobs remain listed for ever and are not returned, nor are keys that wait for their deletion.
    """
    stack = [f"stack {template.name}"] if account.stack(template.name) else []
    deployment_id = template.run_settings.deployment_id
    running = sagemaker_leftovers(account, deployment_id)
    logs = [f"log group {name}" for name in _endpoint_logs(account, deployment_id)]
    return [*stack, *running, *taken_names(account, template), *_tagged(account, deployment_id), *logs]


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore Ctrl-C and requests to end during a block, because resources that cost money would stay."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _settled(account: Account, name: str, waits: Waits) -> Mapping[str, Any] | None:
    """Return the stack once CloudFormation does not work on it any more."""
    deadline = time.monotonic() + waits.limit
    while (stack := account.stack(name)) is not None:
        status = stack["StackStatus"]
        if not status.endswith("_IN_PROGRESS") or status == "REVIEW_IN_PROGRESS" or time.monotonic() > deadline:
            return stack
        time.sleep(waits.poll)
    return None


def _delete_retained(account: Account, template: Template) -> None:
    """Delete the buckets and keys that the stack retained, and the logs that SageMaker wrote."""
    deployment_id = template.run_settings.deployment_id
    for arn in _tagged(account, deployment_id):
        if ":s3:" in arn:
            _delete_bucket(account.resource("s3").Bucket(arn.rpartition(":")[2]))
        elif ":kms:" in arn:
            account.client("kms").schedule_key_deletion(KeyId=arn, PendingWindowInDays=_KEY_DELETION_DAYS)
    logs = account.client("logs")
    for name in _endpoint_logs(account, deployment_id):
        logs.delete_log_group(logGroupName=name)
    if _log_groups(account, _TRAINING_LOGS):
        streams = logs.get_paginator("describe_log_streams")
        pages = streams.paginate(logGroupName=_TRAINING_LOGS, logStreamNamePrefix=f"{deployment_id}-")
        for stream in [stream for page in pages for stream in page["logStreams"]]:
            logs.delete_log_stream(logGroupName=_TRAINING_LOGS, logStreamName=stream["logStreamName"])


def _delete_bucket(bucket: Any) -> None:
    """Delete a bucket with its objects, unless S3 adds an access log in the meantime or the bucket is gone already."""
    try:
        bucket.object_versions.delete()
        bucket.delete()
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"BucketNotEmpty", "NoSuchBucket"}:
            raise


def _tagged(account: Account, deployment_id: str) -> list[str]:
    """Return the ARNs of what has the stack's tag, without finished training jobs and keys that wait for deletion."""
    pages = account.client("resourcegroupstaggingapi").get_paginator("get_resources")
    found = pages.paginate(TagFilters=[{"Key": STACK_TAG, "Values": [deployment_id]}])
    arns = [resource["ResourceARN"] for page in found for resource in page["ResourceTagMappingList"]]
    return [arn for arn in arns if ":training-job/" not in arn and not _is_deleted_key(account, arn)]


def _is_deleted_key(account: Account, arn: str) -> bool:
    if ":kms:" not in arn:
        return False
    return bool(account.client("kms").describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "PendingDeletion")


def _endpoint_logs(account: Account, deployment_id: str) -> list[str]:
    return _log_groups(account, f"{ENDPOINT_LOGS}{deployment_id}-")


def _log_groups(account: Account, prefix: str) -> list[str]:
    pages = account.client("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
    return [group["logGroupName"] for page in pages for group in page["logGroups"]]
