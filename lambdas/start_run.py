"""Start one execution for each object version in the incoming bucket.

The events of new objects wait in a queue. An invocation with ``{"wait_seconds": 5}`` takes them from it, one at a time,
while fewer runs are in progress than the settings allow. Because there is room before an event is received, every
receive is an attempt to start its run, and SQS can give up an event that was received too often.

The execution's name is derived from the object version, so a repeated event finds the name taken and starts nothing. A
person starts another run of the same version with the event ``{"key": "incoming/<name>.csv", "rerun": "r2"}``, to which
``version_id`` adds an older version. A run that a person starts does not wait in the queue.
"""

import json
import re
import reprlib
import time
from typing import Any, Never

from contract.layout import INCOMING_PREFIX, run_id
from contract.payloads import Skipped, Source, Started, Taken
from lambdas.support.runtime import client, entry_point, logger, settings

_EXPECTED = (
    f'expected an S3 "Object Created" event from EventBridge, or {{"key": "{INCOMING_PREFIX}<name>.csv"}} with'
    ' "bucket", "version_id" and "rerun" as needed'
)
_MAX_KEY_BYTES = 1_024  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_RECEIVE_SECONDS = 1
# Longer than another invocation waits for a message without counting the runs in progress again.
_NO_ROOM_SECONDS = 2 * _RECEIVE_SECONDS
# No message is received that the function might not have the time to handle.
_LEAST_REMAINING_MS = 30_000


class InvalidEvent(Exception):  # noqa: N818 - the name that Lambda and the dead letters report
    """The event does not name an object that can start a run."""


@entry_point
def handler(event: Any, context: Any) -> Started | Skipped | Taken:
    """Start the run of the event's object version, once; or the runs of the events in the queue.

    Raises
    ------
    InvalidEvent
        If a person's event does not name an object that can start a run.
    """
    if isinstance(event, dict) and "wait_seconds" in event:
        return {"taken": _take_from_queue(event["wait_seconds"], context)}
    return _start(event)


def _take_from_queue(wait_seconds: float, context: Any) -> int:
    """Take events from the queue while there is room for their runs; return their number.

    An empty queue ends the loop once `wait_seconds` have passed: S3's event may reach the queue later than this
    function.
    """
    taken, until = 0, time.monotonic() + wait_seconds
    while context.get_remaining_time_in_millis() > _LEAST_REMAINING_MS and _has_room():
        received = client("sqs").receive_message(QueueUrl=settings().queue_url, WaitTimeSeconds=_RECEIVE_SECONDS)
        for message in received.get("Messages", []):
            if not _handled(message):
                return taken
            taken += 1
        if not received.get("Messages") and time.monotonic() >= until:
            break
    return taken


def _has_room() -> bool:
    limit = settings().max_concurrent_runs
    listed = client("stepfunctions").list_executions(
        stateMachineArn=settings().state_machine_arn, statusFilter="RUNNING", maxResults=limit
    )
    return len(listed["executions"]) < limit


def _handled(message: dict[str, Any]) -> bool:
    """Start the run of a message and delete it; return false if another invocation has taken the last room.

    No other message can be received meanwhile, because all belong to the same group of a FIFO queue.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/interleaving-multiple-ordered-message-groups.html
    """
    received = {"QueueUrl": settings().queue_url, "ReceiptHandle": message["ReceiptHandle"]}
    if not _has_room():
        client("sqs").change_message_visibility(**received, VisibilityTimeout=_NO_ROOM_SECONDS)
        return False
    try:
        _start(json.loads(message["Body"]))
    except InvalidEvent as error:
        # Further attempts would fail as well, and block the events behind it.
        logger.warning("not an event that can start a run", reason=str(error))
        client("sqs").send_message(QueueUrl=settings().dead_letters_url, MessageBody=message["Body"])
    client("sqs").delete_message(**received)
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
