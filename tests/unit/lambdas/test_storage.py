"""Reading the next objects while one is used, and writing large objects in parts."""

from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from lambdas.support.storage import Bucket
from lambdas.support.streaming import writer
from tests.unit.lambdas.fake_aws import FakeAws

KEYS = [f"part-{number}" for number in range(20)]


@pytest.fixture
def bucket(aws: FakeAws) -> Bucket:
    aws.objects.update({("results", key): key.encode() for key in KEYS})
    return Bucket("results")


def test_objects_come_in_the_order_of_their_keys(bucket: Bucket) -> None:
    assert list(bucket.read_each(KEYS)) == [key.encode() for key in KEYS]
    assert list(bucket.read_each(KEYS[:2])) == [b"part-0", b"part-1"]
    assert list(bucket.read_each([])) == []


def test_only_a_few_objects_are_read_ahead(bucket: Bucket) -> None:
    taken = 0

    def keys() -> Iterator[str]:
        nonlocal taken
        for taken, key in enumerate(KEYS, 1):  # noqa: B007
            yield key

    parts = bucket.read_each(keys())
    assert next(parts) == b"part-0"
    assert 1 < taken < 10


def test_an_object_that_does_not_exist_fails_in_its_turn(bucket: Bucket) -> None:
    parts = bucket.read_each(["part-0", "gone", "part-1"])
    assert next(parts) == b"part-0"
    with pytest.raises(ClientError, match="NoSuchKey"):
        next(parts)


def test_a_large_object_is_written_in_parts_that_s3_accepts(aws: FakeAws) -> None:
    line = bytes(2**20)
    with writer("results", "large") as out:
        for _ in range(20):
            out.write(line)
    assert len(aws.objects["results", "large"]) == 20 * 2**20
    assert [name for name, _ in aws.calls].count("UploadPart") == 3
