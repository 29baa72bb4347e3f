"""Reads and writes small S3 objects whole."""

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

from botocore.exceptions import ClientError

from contract.names import ARTIFACT_TAG
from lambdas.support.errors import NO_OBJECT, code_of
from lambdas.support.runtime import client

JSON = "application/json"
"""The content type of JSON."""

ARTIFACT_TAGGING = urlencode([ARTIFACT_TAG])
"""The tag of objects that expire, in the form of the ``Tagging`` parameter of S3's write operations."""

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_LOST_RACE = ("PreconditionFailed", "ConditionalRequestConflict", *NO_OBJECT)
_MOST_ATTEMPTS = 20
_LONGEST_PAUSE_SECONDS = 0.5
_OBJECTS_IN_MEMORY = 8
_READ_AHEAD = 4

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Bucket:
    """One bucket, accessed with the permissions of this function's role."""

    name: str

    def read(self, key: str) -> bytes:
        """Return an object's bytes."""
        body: bytes = client("s3").get_object(Bucket=self.name, Key=key)["Body"].read()
        return body

    def read_each(self, keys: Iterable[str]) -> Iterator[bytes]:
        """Yield the bytes of objects in the order of their keys, and read the next few objects meanwhile."""
        client("s3")  # created here, because boto3's default session cannot create clients in several threads at once
        coming = deque[Future[bytes]]()
        with ThreadPoolExecutor(_READ_AHEAD) as pool:
            for key in keys:
                coming.append(pool.submit(self.read, key))
                if len(coming) > _READ_AHEAD:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()

    def read_once(self, key: str) -> bytes:
        """Return the bytes of an object from memory if they were read before.

        An execution environment handles many shards of a run, and all of them need the same few small objects. This is
        only for objects that a redriven run would write again with the same content.
        """
        return _read_once(self.name, key)

    def read_if_present(self, key: str) -> bytes | None:
        """Return an object's bytes, or None if there is no such object."""
        return self._read_with_etag(key)[0]

    def _read_with_etag(self, key: str) -> tuple[bytes | None, str | None]:
        try:
            response = client("s3").get_object(Bucket=self.name, Key=key)
        except ClientError as error:
            if code_of(error) not in NO_OBJECT:
                raise
            return None, None
        return response["Body"].read(), response["ETag"]

    def update(
        self, key: str, change: Callable[[bytes | None], tuple[_Result, bytes | None]], content_type: str
    ) -> _Result:
        """Change an object without overwriting what another run writes at the same time.

        The object is written only if it is still as it was read; otherwise it is read and changed again.

        Parameters
        ----------
        change
            Receives the object's bytes, or None if there is no such object. Returns a result, and the bytes to write,
            or None to leave the object unchanged. It is called again after each lost race.

        Returns
        -------
        The result of the change that was written.
        """
        for attempt in count(1):
            before, etag = self._read_with_etag(key)
            result, after = change(before)
            if after is None:
                break
            condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
            try:
                client("s3").put_object(Bucket=self.name, Key=key, Body=after, ContentType=content_type, **condition)
                break
            except ClientError as error:
                if code_of(error) not in _LOST_RACE or attempt == _MOST_ATTEMPTS:
                    raise
            time.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))  # noqa: S311 - nothing secret depends on it
        return result

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


def read_uri_once(uri: str) -> bytes:
    """Return the object at an ``s3://bucket/key`` URI as `Bucket.read_once` does."""
    return _read_once(*_parse(uri))


@lru_cache(maxsize=_OBJECTS_IN_MEMORY)
def _read_once(bucket: str, key: str) -> bytes:
    return Bucket(bucket).read(key)


def _parse(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return parts.netloc, parts.path.removeprefix("/")
