"""Functions that are killed or time out while they work."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from embedded_aws.cloud.instance import Cloud, CloudError
from tests.cloud import Workshop


@pytest.fixture
def writer(workshop: Workshop, cloud: Cloud) -> Iterator[tuple[str, str]]:
    """A function that puts three objects, and the bucket they are put in."""
    bucket = f"struck-{uuid.uuid4().hex[:8]}"
    cloud.client("s3").create_bucket(Bucket=bucket)
    function = workshop.function(
        f"""
        import boto3
        def handler(event, context):
            for key in "abc":
                boto3.client("s3").put_object(Bucket="{bucket}", Key=key, Body=b"")
            return "done"
        """,
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"},
    )
    yield function, bucket
    cloud.request("DELETE", "/_embedded/faults")


def written(cloud: Cloud, bucket: str) -> list[str]:
    return [item["Key"] for item in cloud.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]


@pytest.mark.parametrize("kind", ["kill", "oom"])
def test_a_function_is_killed_after_its_call_has_been_carried_out(
    workshop: Workshop, cloud: Cloud, writer: tuple[str, str], kind: str
) -> None:
    function, bucket = writer
    cloud.request("PUT", "/_embedded/faults", [f"lambda.{function}:{kind}=2*1"])
    error = workshop.invoke(function)
    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith("signal: killed")
    assert written(cloud, bucket) == ["a", "b"]
    assert workshop.invoke(function) == "done"


def test_a_timed_out_function_is_reported_without_waiting(
    workshop: Workshop, cloud: Cloud, writer: tuple[str, str]
) -> None:
    function, _ = writer
    cloud.request("PUT", "/_embedded/faults", [f"lambda.{function}:timeout"])
    for _ in range(2):
        error = workshop.invoke(function)
        assert error["errorType"] == "Sandbox.Timedout"
        assert error["errorMessage"].endswith("Task timed out after 10.00 seconds")


def test_a_fault_that_did_not_occur_is_not_counted(workshop: Workshop, cloud: Cloud, writer: tuple[str, str]) -> None:
    function, _ = writer
    cloud.request("PUT", "/_embedded/faults", [f"lambda.{function}:kill=4*1"])
    assert workshop.invoke(function) == "done"
    [fault] = cloud.request("GET", "/_embedded/faults")
    assert (fault["struck"], fault["left"]) == (0, 1)


def test_the_end_of_a_functions_name_is_enough(workshop: Workshop, cloud: Cloud, writer: tuple[str, str]) -> None:
    function, _ = writer
    end = function.rsplit("-", 1)[-1]
    cloud.request("PUT", "/_embedded/faults", [f"lambda.{end}:kill*1"])
    assert workshop.invoke(function)["errorType"] == "Runtime.ExitError"


@pytest.mark.parametrize("fault", ["lambda.prepare:explode", "lambda.prepare:kill=soon", "lambda.prepare:kill=0"])
def test_a_fault_that_does_not_exist_is_refused(cloud: Cloud, fault: str) -> None:
    with pytest.raises(CloudError, match="lambda"):
        cloud.request("PUT", "/_embedded/faults", [fault])
