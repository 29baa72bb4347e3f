"""Objects in S3 too large to hold: read and written as streams.

Apart from ``storage`` because importing smart_open takes a quarter of a second that most functions needn't spend.
"""

from contextlib import AbstractContextManager
from io import BufferedIOBase

import smart_open.s3

from lambdas.support.runtime import client
from lambdas.support.storage import ARTIFACT_TAGGING

_READ_BYTES = 1024 * 1024
# S3's minimum for a part is 5 MiB: small parts keep memory flat, 10,000 of them still hold 80 GiB.
_PART_BYTES = 8 * 1024 * 1024


def reader(bucket: str, key: str, version_id: str | None) -> BufferedIOBase:
    """Open one version of an object for reading."""
    try:
        return smart_open.s3.open(
            bucket, key, "rb", version_id=version_id, buffer_size=_READ_BYTES, client=client("s3")
        )
    except OSError as error:  # smart_open's own; what AWS answered is inside
        raise getattr(error, "backend_error", error) from error


def writer(
    bucket: str, key: str, *, in_parts: bool = True, expires: bool = False
) -> AbstractContextManager[BufferedIOBase]:
    """Open an object for writing; after an exception inside the ``with`` block it doesn't appear.

    Parameters
    ----------
    in_parts
        Upload while writing, in a multipart upload; else hold what is written and put it at once.
    expires
        Whether it is an artifact, which the results bucket needn't keep for good.
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
