"""S3's events on EventBridge: adds the version of the object if the bucket has versions."""

from __future__ import annotations

import contextvars
import json
from typing import Any

from ministack.services import eventbridge, s3

_version: contextvars.ContextVar[str | None] = contextvars.ContextVar("version", default=None)


def apply() -> None:
    """Correct the events in this process.

    AWS puts ``version-id`` into ``detail.object``
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html); ministack knows the version but omits it
    from events on EventBridge.
    """
    fire, dispatch = s3._fire_s3_event, eventbridge._dispatch_event

    def fire_with_version(*args: Any, version_id: str | None = None, **keywords: Any) -> None:
        token = _version.set(version_id)
        try:
            fire(*args, version_id=version_id, **keywords)
        finally:
            _version.reset(token)

    def dispatch_with_version(event: dict[str, Any], *args: Any, **keywords: Any) -> Any:
        if (version := _version.get()) is not None and event.get("Source") == "aws.s3":
            detail = json.loads(event["Detail"])
            detail["object"].setdefault("version-id", version)
            event = event | {"Detail": json.dumps(detail)}
        return dispatch(event, *args, **keywords)

    s3._fire_s3_event = fire_with_version
    eventbridge._dispatch_event = dispatch_with_version
