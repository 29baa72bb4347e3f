"""Whole small objects in S3."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from lambdas.runtime import client


@dataclass(frozen=True)
class Bucket:
    """One bucket, seen through this function's own permissions."""

    name: str

    def read(self, key: str) -> bytes:
        """Return an object's bytes."""
        body: bytes = client("s3").get_object(Bucket=self.name, Key=key)["Body"].read()
        return body

    def read_range(self, key: str, first: int, end: int) -> bytes:
        """Return an object's bytes from `first` up to `end`, exclusive."""
        span = f"bytes={first}-{end - 1}"
        body: bytes = client("s3").get_object(Bucket=self.name, Key=key, Range=span)["Body"].read()
        return body

    def write(self, key: str, body: bytes, content_type: str = "application/octet-stream") -> None:
        """Write an object at once: nobody ever reads half of it."""
        client("s3").put_object(Bucket=self.name, Key=key, Body=body, ContentType=content_type)


def read_uri(uri: str) -> bytes:
    """Return the object at an ``s3://bucket/key`` URI."""
    parts = urlsplit(uri)
    return Bucket(parts.netloc).read(parts.path.removeprefix("/"))
