"""S3: reading a part of an older version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import s3


def apply() -> None:
    """Mend S3 in this process."""
    read_ranges_of_versions()


def read_ranges_of_versions() -> None:
    """Let GetObject's Range bind together with VersionId, as on AWS; ministack answers the whole version."""
    original: Callable[..., Any] = s3._get_object

    def get_object(bucket: str, key: str, headers: dict[str, str], query_params: dict[str, Any] | None = None) -> Any:
        wanted = headers.get("range")
        if not wanted or not s3._qp(query_params or {}, "versionId", ""):
            return original(bucket, key, headers, query_params)
        # A checksum is of the whole: it isn't sent with a part.
        whole = {name: value for name, value in headers.items() if name not in ("range", "x-amz-checksum-mode")}
        status, answer, body = original(bucket, key, whole, query_params)
        if status != 200:
            return status, answer, body
        found = s3._parse_range(wanted, len(body))
        if found is None:
            error = s3._xml_body(s3._range_error_xml(bucket, key))
            return 416, {"Content-Type": "application/xml", "Content-Range": f"bytes */{len(body)}"}, error
        first, last = found
        part = body[first : last + 1]
        content_range = f"bytes {first}-{last}/{len(body)}"
        return 206, {**answer, "Content-Length": str(len(part)), "Content-Range": content_range}, part

    s3._get_object = get_object
