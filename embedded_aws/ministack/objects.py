"""Corrects S3: objects on disk, ranges of any version, responses about missing objects, tags of templates' buckets."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO

from ministack.core import router
from ministack.core.responses import StreamingResponse
from ministack.services import s3

from embedded_aws.ministack import authorization, templates

_CHUNK_BYTES = 1024 * 1024
# True while a GetObject request is served that may receive its object as an open file.
_by_file: ContextVar[bool] = ContextVar("by_file", default=False)


def apply() -> None:
    """Correct S3 in this process."""
    keep_no_version_in_memory()
    send_objects_from_disk()
    hide_missing_objects()
    keep_tags_of_templates()


def keep_tags_of_templates() -> None:
    """Give a bucket the tags that its template declares, which ministack ignores."""

    def keep(name: str, properties: templates.Properties) -> None:
        s3._bucket_tags[name] = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}

    templates.extend("AWS::S3::Bucket", keep)


def hide_missing_objects() -> None:
    """Respond with 403 instead of 404 to a caller without ``s3:ListBucket`` who reads an object that does not exist.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html, "Permissions"
    """
    s3._get_object = _without_what_is_missing(s3._get_object)
    s3._head_object = _without_what_is_missing(s3._head_object)


def _without_what_is_missing(original: Callable[..., Any]) -> Callable[..., Any]:
    def read(bucket: str, key: str, headers: dict[str, str], query_params: dict[str, Any] | None = None) -> Any:
        response = original(bucket, key, headers, query_params)
        if response[0] != 404:
            return response
        caller = router.extract_access_key_id(headers, query_params or {})
        try:
            authorization.check_caller(caller, "s3:ListBucket", f"arn:aws:s3:::{bucket}")
        except authorization.Denied:
            return s3._error("AccessDenied", "Access Denied", 403, f"/{bucket}/{key}")
        return response

    return read


def keep_no_version_in_memory() -> None:
    """Keep an object's versions only in files; ministack also keeps the content of each version in memory."""
    original: Callable[..., str | None] = s3._record_object_version

    def record(bucket: str, key: str, prior: Any, obj: Any, data: Any) -> str | None:
        return original(bucket, key, prior, obj, None)

    s3._record_object_version = record


def send_objects_from_disk() -> None:
    """Send large objects in chunks, and apply GetObject's Range to every version, as on AWS.

    ministack reads the whole object for each requested range, and ignores Range if the request has a VersionId.
    """
    get_object: Callable[..., Any] = s3._get_object
    read_body: Callable[..., Any] = s3._read_body
    version_body: Callable[..., Any] = s3._version_body

    def read(bucket: str, key: str, obj: dict[str, Any]) -> Any:
        if _by_file.get() and obj.get("body") is None and (file := _open(s3._object_disk_path(bucket, key))):
            return file
        return read_body(bucket, key, obj)

    def read_version(bucket: dict[str, Any], name: str, key: str, version: dict[str, Any]) -> Any:
        if _by_file.get() and (file := _open(s3._version_disk_path(name, key, version["version_id"]))):
            return file
        return version_body(bucket, name, key, version)

    def get(bucket: str, key: str, headers: dict[str, str], query_params: dict[str, Any] | None = None) -> Any:
        if s3._qp(query_params or {}, "partNumber", ""):
            return get_object(bucket, key, headers, query_params)
        wanted = headers.get("range", "")
        # A checksum covers the whole object, so a response with a range of it has none.
        omitted = ("range", "x-amz-checksum-mode") if wanted else ()
        # Step Functions calls this function directly, without a signed request, and expects bytes.
        token = _by_file.set("x-amz-date" in headers)
        try:
            whole = {name: value for name, value in headers.items() if name not in omitted}
            status, answer, body = get_object(bucket, key, whole, query_params)
        finally:
            _by_file.reset(token)
        if status != 200:
            return status, answer, body
        size = len(body) if isinstance(body, bytes) else os.fstat(body.fileno()).st_size
        part = s3._parse_range(wanted, size) if wanted else (0, size - 1)
        if part is None:
            error = s3._xml_body(s3._range_error_xml(bucket, key))
            return 416, {"Content-Type": "application/xml", "Content-Range": f"bytes */{size}"}, error
        first, last = part
        answer = {**answer, "Content-Length": str(last - first + 1)}
        if wanted:
            status, answer["Content-Range"] = 206, f"bytes {first}-{last}/{size}"
        return status, answer, _content(body, first, last)

    s3._get_object, s3._read_body, s3._version_body = get, read, read_version


def _content(body: bytes | BinaryIO, first: int, last: int) -> Any:
    """Return the bytes from one position up to and including another, as ministack sends them."""
    if isinstance(body, bytes):
        return body[first : last + 1]
    body.seek(first)
    length = last - first + 1
    if length > _CHUNK_BYTES:
        return StreamingResponse(_sender(body, length))
    with body:
        return body.read(length)


def _sender(file: BinaryIO, length: int) -> Callable[[Any, Any], Any]:
    """Return a coroutine function that sends ``length`` bytes of a file as the body of a response."""

    async def send_all(send: Any, _receive: Any) -> None:
        left = length
        with file:
            while left:
                chunk = file.read(min(left, _CHUNK_BYTES))
                left -= len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})

    return send_all


def _open(path: str | None) -> BinaryIO | None:
    try:
        return Path(path).open("rb") if path else None
    except OSError:
        return None
