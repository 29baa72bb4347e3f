"""Start one execution for each object version in the incoming bucket.

Events come from a queue, one at a time. If as many runs are in progress as the settings allow, the event stays in the
queue and is received again after some seconds.

The execution's name is derived from the object version, so a repeated event finds the name taken and starts nothing. A
person starts another run of the same version with the event ``{"key": "incoming/<name>.csv", "rerun": "r2"}``, to which
``version_id`` adds an older version. A run that a person starts does not wait in the queue.
"""

import json
import re
import reprlib
from typing import Any, Never

from contract.layout import INCOMING_PREFIX, run_id
from contract.payloads import BatchResponse, Skipped, Source, Started
from lambdas.support.runtime import client, entry_point, logger, settings

_EXPECTED = (
    f'expected an S3 "Object Created" event from EventBridge, or {{"key": "{INCOMING_PREFIX}<name>.csv"}} with'
    ' "bucket", "version_id" and "rerun" as needed'
)
_MAX_KEY_BYTES = 1_024  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_ROOM_POLL_SECONDS = 5
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class InvalidEvent(Exception):  # noqa: N818 - the name that Lambda and the dead letters report
    """The event does not name an object that can start a run."""


@entry_point
def handler(event: Any, _context: Any) -> Started | Skipped | BatchResponse:
    """Start the run of the event's object version, once.

    Raises
    ------
    InvalidEvent
        If a person's event does not name an object that can start a run.
    """
    if isinstance(event, dict) and "Records" in event:
        (message,) = event["Records"]
        return {"batchItemFailures": [] if _handled(message) else [{"itemIdentifier": message["messageId"]}]}
    return _start(event)


def _handled(message: dict[str, Any]) -> bool:
    """Start the run of a message from the queue; return false if it has to wait in the queue."""
    states, limit = client("stepfunctions"), settings().max_concurrent_runs
    listed = states.list_executions(
        stateMachineArn=settings().state_machine_arn, statusFilter="RUNNING", maxResults=limit
    )
    if len(listed["executions"]) >= limit:
        client("sqs").change_message_visibility(
            QueueUrl=settings().queue_url,
            ReceiptHandle=message["receiptHandle"],
            VisibilityTimeout=_ROOM_POLL_SECONDS,
        )
        return False
    try:
        _start(json.loads(message["body"]))
    except InvalidEvent as error:
        # It would block the events behind it until the queue forgets it.
        logger.warning("not an event that can start a run", reason=str(error))
        client("sqs").send_message(QueueUrl=settings().dead_letters_url, MessageBody=message["body"])
    return True


def _start(event: Any) -> Started | Skipped:
    if not isinstance(event, dict):
        _refuse(f"the event is {reprlib.repr(event)}; {_EXPECTED}")
    source = _announced(event) if "detail" in event else _requested(event)
    if source["key"].endswith("/"):
        return {"skipped": f"{source['key']} is a folder marker"}
    try:
        name = run_id(source["bucket"], source["key"], source["version_id"] or source["etag"], event.get("rerun"))
    except (TypeError, ValueError) as error:
        _refuse(str(error))
    states = client("stepfunctions")
    try:
        started = states.start_execution(
            stateMachineArn=settings().state_machine_arn,
            name=name,
            input=json.dumps({"run_id": name, "input": source}),
        )
    except states.exceptions.ExecutionAlreadyExists:
        logger.info("already started", run_id=name)
        return {"run_id": name, "started": False}
    return {"run_id": name, "started": True, "execution_arn": started["executionArn"]}


def _announced(event: dict[str, Any]) -> Source:
    """Return the object of an "Object Created" event.

    Not read through Powertools' S3EventBridgeNotificationEvent: its ``key`` replaces a plus sign by a space, though
    EventBridge does not encode keys, and its ``version_id`` requires a versioned bucket.
    """
    try:
        bucket, created = event["detail"]["bucket"]["name"], event["detail"]["object"]
        etag, size = created["etag"].strip('"'), int(created["size"])
        version_id = created.get("version-id")
        return Source(bucket=bucket, key=_checked(created["key"]), version_id=version_id, etag=etag, size=size)
    except (AttributeError, KeyError, TypeError, ValueError):
        _refuse(f"the event's detail is {reprlib.repr(event['detail'])}; {_EXPECTED}")


def _requested(event: dict[str, Any]) -> Source:
    """Return the object that a person's event names, as S3 describes it."""
    bucket, key = event.get("bucket", settings().incoming_bucket), _checked(event.get("key"))
    version = {"VersionId": event["version_id"]} if event.get("version_id") else {}
    for name, value in {"bucket": bucket, **version}.items():
        if not isinstance(value, str):
            _refuse(f"{name} is {reprlib.repr(value)}; {_EXPECTED}")
    head = client("s3").head_object(Bucket=bucket, Key=key, **version)
    etag, size = head["ETag"].strip('"'), head["ContentLength"]
    return Source(bucket=bucket, key=key, version_id=head.get("VersionId"), etag=etag, size=size)


def _checked(key: Any) -> str:
    """Return a key that can start a run."""
    shown = reprlib.repr(key)
    if not isinstance(key, str) or not key.startswith(INCOMING_PREFIX):
        _refuse(f"key is {shown}; expected one that starts with {INCOMING_PREFIX!r}; {_EXPECTED}")
    if len(key.encode()) > _MAX_KEY_BYTES:
        _refuse(f"key is {shown} and has {len(key.encode()):,} bytes; S3 allows at most {_MAX_KEY_BYTES:,}")
    if _CONTROL_CHARACTER.search(key):
        _refuse(f"key is {shown}, with a control character; rename the object")
    return key


def _refuse(message: str) -> Never:
    raise InvalidEvent(message)
