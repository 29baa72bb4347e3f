"""S3 as the handlers use it: whole small objects, streams of large ones."""

from contextlib import AbstractContextManager
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import smart_open

from lambdas.runtime import client

# S3's minimum for a part is 5 MiB: small parts keep memory flat, 10,000 of them still hold 80 GiB.
_PART_BYTES = 8 * 1024 * 1024


class Bucket:
    """One bucket, seen through this function's own permissions."""

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self, key: str, *, first: int = 0, end: int | None = None) -> bytes:
        """Return an object's bytes, or those from `first` up to `end`, exclusive."""
        span = {} if end is None else {"Range": f"bytes={first}-{end - 1}"}
        body: bytes = client("s3").get_object(Bucket=self.name, Key=key, **span)["Body"].read()
        return body

    def write(self, key: str, body: bytes, content_type: str = "application/octet-stream") -> None:
        """Write an object at once: nobody ever reads half of it."""
        client("s3").put_object(Bucket=self.name, Key=key, Body=body, ContentType=content_type)

    def reader(self, key: str, version_id: str | None = None) -> BinaryIO:
        """Open an object as a stream, pinned to one version."""
        return self._open(key, "rb", {"version_id": version_id, "buffer_size": 1024 * 1024})

    def writer(self, key: str, *, in_parts: bool) -> AbstractContextManager[BinaryIO]:
        """Open an object for writing; after an exception inside the ``with`` block it doesn't appear.

        Parameters
        ----------
        in_parts
            Upload while writing, for what may be large; else hold it and write it at once.
        """
        return self._open(key, "wb", {"multipart_upload": in_parts, "min_part_size": _PART_BYTES})

    def _open(self, key: str, mode: str, parameters: dict[str, Any]) -> BinaryIO:
        # Compression is the census reader's business: it looks at the bytes, not at the name.
        stream: BinaryIO = smart_open.open(
            f"s3://{self.name}/{key}",
            mode,
            compression="disable",
            transport_params={"client": client("s3"), **parameters},
        )
        return stream


def read_uri(uri: str) -> bytes:
    """Return the object at an ``s3://bucket/key`` URI."""
    parts = urlsplit(uri)
    return Bucket(parts.netloc).read(parts.path.lstrip("/"))
