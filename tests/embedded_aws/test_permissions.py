"""Comparing grants with the decisions that IAM made."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from embedded_aws.cloud.instance import Cloud
from embedded_aws.permissions import DECISIONS, Decision, Grant, collect, compare, read, render
from tests.cloud import Workshop

READ = Grant("reader", "s3:GetObject", "arn:aws:s3:::b/runs/*")
WRITE = Grant("reader", "s3:PutObject", "arn:aws:s3:::b/*")


def test_a_grant_that_allowed_something_is_used() -> None:
    decisions = [Decision("reader", "s3:GetObject", "arn:aws:s3:::b/runs/1/x", allowed=True)]
    report = compare([READ, WRITE], decisions, {})
    assert (report.used, report.unused) == ([READ], [WRITE])


def test_another_roles_use_or_another_resource_does_not_count() -> None:
    decisions = [
        Decision("writer", "s3:GetObject", "arn:aws:s3:::b/runs/1/x", allowed=True),
        Decision("reader", "s3:GetObject", "arn:aws:s3:::b/other", allowed=True),
        Decision("reader", "s3:GetObject", "arn:aws:s3:::b/runs/2", allowed=False),
    ]
    report = compare([READ], decisions, {})
    assert report.unused == [READ]
    assert report.refused == [decisions[2]]


def test_a_reason_explains_what_is_never_used() -> None:
    for reasons in ({"reader": {"s3:PutObject": "rarely"}}, {"*": {"s3:PutObject": "rarely"}}):
        report = compare([WRITE], [], reasons)
        assert report.explained == {WRITE: "rarely"}
        assert not report.unused
        assert "rarely" in render(report)


def test_iams_decisions_are_recorded(cloud: Cloud, workshop: Workshop) -> None:
    bucket = f"refused-{uuid.uuid4().hex[:8]}"
    cloud.client("s3").create_bucket(Bucket=bucket)
    code = f"""
        import boto3
        def handler(event, context):
            s3 = boto3.client("s3")
            s3.list_buckets()
            s3.list_objects_v2(Bucket="{bucket}")
        """
    function = workshop.function(code, {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"})
    workshop.invoke(function)
    role = cloud.client("lambda").get_function(FunctionName=function)["Configuration"]["Role"].rsplit("/")[-1]
    lines = [json.loads(line) for line in (cloud.directory / DECISIONS).read_text().splitlines()]
    mine = {(line["action"], line["resource"], line["allowed"]) for line in lines if line["role"] == role}
    assert ("s3:ListAllMyBuckets", "*", True) in mine
    assert ("s3:ListBucket", f"arn:aws:s3:::{bucket}", False) in mine


def test_the_stacks_grants_are_collected_by_who_takes_the_role(cloud: Cloud, stack: object, tmp_path: Path) -> None:
    collect(cloud.client, cloud.directory / DECISIONS, "census-segmentation", tmp_path)
    grants, _ = read([tmp_path])
    assert {"start_run", "prepare", "publish", "sweep", "state machine", "sagemaker"} <= {each.role for each in grants}
    assert not any("census-segmentation-storage" in each.resource for each in grants)
