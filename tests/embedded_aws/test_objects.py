"""S3's objects: kept on disk, sent in parts."""

from __future__ import annotations

import hashlib
import io
import uuid
from pathlib import Path

import psutil
import pytest

from embedded_aws.cloud.instance import Cloud

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def bucket(cloud: Cloud) -> str:
    name = f"objects-{uuid.uuid4().hex[:12]}"
    cloud.client("s3").create_bucket(Bucket=name)
    cloud.client("s3").put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


@pytest.mark.parametrize("size", [0, 10, 3 * MEGABYTE + 7])
def test_every_version_is_sent_whole_and_in_parts(cloud: Cloud, bucket: str, size: int) -> None:
    s3, key = cloud.client("s3"), f"sizes/{size}"
    bodies = [bytes([number]) * (size + number) for number in range(3)]
    versions = [s3.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"] for body in bodies]
    for body, version in zip(bodies, versions, strict=True):
        found = s3.get_object(Bucket=bucket, Key=key, VersionId=version)
        assert (found["Body"].read(), found["ContentLength"]) == (body, len(body))
        if body:
            part = s3.get_object(Bucket=bucket, Key=key, VersionId=version, Range=f"bytes={len(body) // 3}-")
            assert part["Body"].read() == body[len(body) // 3 :]
            assert part["ContentRange"] == f"bytes {len(body) // 3}-{len(body) - 1}/{len(body)}"
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == bodies[-1]
    s3.delete_object(Bucket=bucket, Key=key, VersionId=versions[-1])
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == bodies[1]
    s3.delete_object(Bucket=bucket, Key=key)
    assert s3.get_object(Bucket=bucket, Key=key, VersionId=versions[0])["Body"].read() == bodies[0]


def test_objects_take_disk_space_and_no_memory(cloud: Cloud, bucket: str) -> None:
    s3, server = cloud.client("s3"), psutil.Process(cloud.pid)
    content = bytes(range(256)) * (16 * MEGABYTE // 256)
    s3.upload_fileobj(io.BytesIO(content), bucket, "large/first")
    before = server.memory_info().rss
    for number in range(4):
        s3.upload_fileobj(io.BytesIO(content), bucket, f"large/{number}")
        s3.put_object(Bucket=bucket, Key="large/again", Body=content)
    assert server.memory_info().rss - before < 3 * len(content)
    on_disk = sum(path.stat().st_size for path in Path(cloud.directory, "objects").rglob("*") if path.is_file())
    assert on_disk > 9 * len(content)
    found = s3.get_object(Bucket=bucket, Key="large/3")["Body"]
    digest = hashlib.sha256()
    for chunk in found.iter_chunks(MEGABYTE):
        digest.update(chunk)
    assert digest.digest() == hashlib.sha256(content).digest()
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix="large/"):
        for version in page["Versions"]:
            s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
