"""Start one execution for each object version that lands in the incoming bucket.

The execution's name is derived from the object version: a repeated event finds it taken and starts nothing. A
deliberate second run is a manual event ``{"bucket", "key", "rerun": "r2"}``, with ``version_id`` for an older version.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from contract.layout import INCOMING_PREFIX, run_id
from lambdas.support.errors import named_error
from lambdas.support.runtime import client, entry_point, logger, settings


@dataclass(frozen=True)
class Source:
    """One version of an object."""

    bucket: str
    key: str
    version_id: str | None
    etag: str
    size: int

    @classmethod
    def of_event(cls, event: dict[str, Any]) -> "Source":
        """Read EventBridge's "Object Created", or look up what a manual event names."""
        if "detail" in event:
            found = event["detail"]["object"]
            bucket = event["detail"]["bucket"]["name"]
            return cls(bucket, found["key"], found.get("version-id"), found["etag"].strip('"'), found["size"])
        bucket, key = event.get("bucket", settings().incoming_bucket), event.get("key", "")
        if not key.startswith(INCOMING_PREFIX):
            raise named_error("InvalidEvent", f"key is {key!r}; expected one that starts with {INCOMING_PREFIX!r}")
        version = {"VersionId": event["version_id"]} if event.get("version_id") else {}
        head = client("s3").head_object(Bucket=bucket, Key=key, **version)
        return cls(bucket, key, head.get("VersionId"), head["ETag"].strip('"'), head["ContentLength"])


@entry_point
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Start the run of the event's object version, once."""
    source = Source.of_event(event)
    if source.key.endswith("/"):
        return {"skipped": f"{source.key} is a folder marker"}
    name = run_id(source.bucket, source.key, source.version_id or source.etag, event.get("rerun"))
    states = client("stepfunctions")
    try:
        started = states.start_execution(
            stateMachineArn=settings().state_machine_arn,
            name=name,
            input=json.dumps({"run_id": name, "input": asdict(source)}),
        )
    except states.exceptions.ExecutionAlreadyExists:
        logger.info("already started", run_id=name)
        return {"run_id": name, "started": False}
    return {"run_id": name, "started": True, "execution_arn": started["executionArn"]}
