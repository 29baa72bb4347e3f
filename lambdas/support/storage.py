"""Reads and writes small S3 objects whole."""

from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from contract.names import ARTIFACT_TAG
from lambdas.support.runtime import client

ARTIFACT_TAGGING = urlencode([ARTIFACT_TAG])
"""The tag of objects that expire, in the form of the ``Tagging`` parameter of S3's write operations."""


@dataclass(frozen=True)
class Bucket:
    """One bucket, accessed with the permissions of this function's role."""

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

    def write(
        self, key: str, body: bytes, content_type: str = "application/octet-stream", *, expires: bool = False
    ) -> None:
        """Write an object in one request, so that readers never see part of it.

        Parameters
        ----------
        expires
            Whether the object is an intermediate file, which the results bucket deletes after some days.
        """
        tagging = {"Tagging": ARTIFACT_TAGGING} if expires else {}
        client("s3").put_object(Bucket=self.name, Key=key, Body=body, ContentType=content_type, **tagging)


def read_uri(uri: str) -> bytes:
    """Return the object at an ``s3://bucket/key`` URI."""
    bucket, key = _parse(uri)
    return Bucket(bucket).read(key)


def _parse(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return parts.netloc, parts.path.removeprefix("/")
