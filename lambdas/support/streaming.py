"""Reads and writes S3 objects that are too large for memory as streams.

This module is separate from ``storage`` because importing smart_open takes a quarter of a second, and most functions do
not need it.
"""

from contextlib import AbstractContextManager
from io import BufferedIOBase

import smart_open.s3

from lambdas.support.runtime import client
from lambdas.support.storage import ARTIFACT_TAGGING

_READ_BYTES = 1024 * 1024
# S3 requires at least 5 MiB per part and allows 10,000 parts, so an object may have up to 78 GiB. Small parts save
# memory.
_PART_BYTES = 8 * 1024 * 1024


def reader(bucket: str, key: str, version_id: str | None) -> BufferedIOBase:
    """Open one version of an object for reading."""
    try:
        return smart_open.s3.open(
            bucket, key, "rb", version_id=version_id, buffer_size=_READ_BYTES, client=client("s3")
        )
    except OSError as error:  # smart_open wraps the error that AWS returned
        raise getattr(error, "backend_error", error) from error


def writer(
    bucket: str, key: str, *, in_parts: bool = True, expires: bool = False
) -> AbstractContextManager[BufferedIOBase]:
    """Open an object for writing; after an exception inside the ``with`` block, the object is not created.

    Parameters
    ----------
    in_parts
        Whether to upload while writing, as a multipart upload, instead of holding the object in memory and writing it
        in one request.
    expires
        Whether the object is an intermediate file, which the results bucket deletes after some days.
    """
    operation = "S3.Client.create_multipart_upload" if in_parts else "S3.Client.put_object"
    return smart_open.s3.open(
        bucket,
        key,
        "wb",
        multipart_upload=in_parts,
        min_part_size=_PART_BYTES,
        client=client("s3"),
        client_kwargs={operation: {"Tagging": ARTIFACT_TAGGING}} if expires else None,
    )
