"""InvokeEndpoint: every request type by every accept type, and what is refused."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from jobs.sagemaker import recordio
from tests.embedded_aws.sagemaker.conftest import RECORDIO, Aws

RANDOM = np.random.default_rng(3)
ROWS = RANDOM.random((7, 4)).astype(np.float32)
MEAN = RANDOM.random((1, 4)).astype(np.float32)
VECTORS = np.linalg.qr(RANDOM.random((4, 4)))[0][:, :3].astype(np.float32)
CENTERS = RANDOM.random((3, 4)).astype(np.float32)

PROJECTIONS = (ROWS.astype(float) - MEAN) @ VECTORS
DISTANCES = np.linalg.norm(ROWS[:, np.newaxis].astype(float) - CENTERS, axis=2)


def json_short(rows: Any) -> bytes:
    return json.dumps({"instances": [{"features": row.tolist()} for row in rows]}).encode()


def json_long(rows: Any) -> bytes:
    instances = [{"data": {"features": {"values": row.tolist()}}} for row in rows]
    return json.dumps({"instances": instances}).encode()


def json_lines(rows: Any) -> bytes:
    return "\n".join(json.dumps({"features": row.tolist()}) for row in rows).encode()


def csv(rows: Any) -> bytes:
    return "\n".join(",".join(map(repr, row)) for row in rows.tolist()).encode()


REQUESTS: dict[str, tuple[str, Callable[[np.ndarray], bytes]]] = {
    "json": ("application/json", json_short),
    "json-values": ("application/json; charset=utf-8", json_long),
    "jsonlines": ("application/jsonlines", json_lines),
    "csv": ("text/csv", csv),
    "recordio": (RECORDIO, recordio.encode),
}


def read_json(body: bytes, listed: str, member: str) -> list[Any]:
    return [record[member] for record in json.loads(body)[listed]]


def read_answer(accept: str, body: bytes, listed: str, *members: str) -> list[np.ndarray]:
    if accept == RECORDIO:
        return [recordio.decode_labels(body, member)[member] for member in members]
    if accept == "application/json":
        records = json.loads(body)[listed]
    elif accept == "application/jsonlines":
        records = [json.loads(line) for line in body.decode().splitlines()]
    else:
        table = np.array([list(map(float, line.split(","))) for line in body.decode().splitlines()])
        return [table] if len(members) == 1 else list(table.T)
    assert all(set(record) == set(members) for record in records)
    return [np.array([record[member] for record in records]) for member in members]


ACCEPTS = ["application/json", "application/jsonlines", "text/csv", RECORDIO]


@pytest.fixture(scope="module")
def endpoints(aws: Aws) -> Aws:
    model = {"s": np.arange(1, 4, dtype=np.float32), "v": VECTORS, "mean": MEAN}
    aws.create_endpoint("infer-pca", "pca", aws.put_model("infer/pca.tar.gz", model))
    aws.create_endpoint("infer-kmeans", "kmeans", aws.put_model("infer/kmeans.tar.gz", [CENTERS]))
    for name in ("infer-pca", "infer-kmeans"):
        assert aws.settled(name)["EndpointStatus"] == "InService"
    return aws


def invoke(aws: Aws, endpoint: str, body: bytes, content_type: str, **options: Any) -> Any:
    return aws.sagemaker_runtime.invoke_endpoint(EndpointName=endpoint, Body=body, ContentType=content_type, **options)


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize(("form", "accept"), list(itertools.product(REQUESTS, ACCEPTS)))
def test_every_content_type_can_be_combined_with_every_accept_type(
    endpoints: Aws, form: str, accept: str, count: int
) -> None:
    content_type, write = REQUESTS[form]
    rows = ROWS[:count]

    answer = invoke(endpoints, "infer-pca", write(rows), content_type, Accept=accept)
    assert answer["ContentType"] == accept
    (projections,) = read_answer(accept, answer["Body"].read(), "projections", "projection")
    np.testing.assert_allclose(projections, PROJECTIONS[:count], atol=1e-6)

    answer = invoke(endpoints, "infer-kmeans", write(rows), content_type, Accept=accept)
    assert answer["ContentType"] == accept
    clusters, distances = read_answer(
        accept, answer["Body"].read(), "predictions", "closest_cluster", "distance_to_cluster"
    )
    np.testing.assert_array_equal(clusters, DISTANCES.argmin(axis=1)[:count])
    np.testing.assert_allclose(distances, DISTANCES.min(axis=1)[:count], rtol=1e-5)


def test_without_accept_the_answer_is_json_of_float32(endpoints: Aws) -> None:
    answer = invoke(endpoints, "infer-pca", csv(ROWS), "text/csv", CustomAttributes="trace=7")
    assert answer["ContentType"] == "application/json"
    assert answer["CustomAttributes"] == "trace=7"
    projections = np.array(read_json(answer["Body"].read(), "projections", "projection"))
    assert (projections == projections.astype(np.float32)).all()


def test_recordio_answers_are_float32(endpoints: Aws) -> None:
    body = invoke(endpoints, "infer-pca", recordio.encode(ROWS), RECORDIO, Accept=RECORDIO)["Body"].read()
    assert recordio.decode_labels(body, "projection")["projection"].dtype == np.float32


WIDE = np.ones((2, 5), np.float32)
NAN = np.array([[1, np.nan, 3, 4]], np.float32)


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        *((REQUESTS[form][0], REQUESTS[form][1](WIDE), 400) for form in REQUESTS),
        *((REQUESTS[form][0], REQUESTS[form][1](NAN), 400) for form in REQUESTS),
        *((REQUESTS[form][0], b"", 400) for form in REQUESTS),
        *((REQUESTS[form][0], b"\xff\x00 nonsense", 400) for form in REQUESTS),
        ("application/json", b'{"instances": []}', 400),
        ("application/json", b'{"rows": [[1, 2, 3, 4]]}', 400),
        ("application/json", b'{"instances": [{"features": ["a", 2, 3, 4]}]}', 400),
        ("application/json", b"[1, 2, 3, 4]", 400),
        ("application/json", b'{"instances": [[1, 2, 3, 4]]}', 400),
        ("text/csv", b"1,2,3,4\n1,2,3", 400),
        ("image/png", b"1,2,3,4", 415),
    ],
)
def test_a_request_that_the_container_cannot_read_is_a_model_error(
    endpoints: Aws, content_type: str, body: bytes, status: int
) -> None:
    with pytest.raises(ClientError) as refused:
        invoke(endpoints, "infer-pca", body, content_type)
    answer: Any = refused.value.response
    assert answer["Error"]["Code"] == "ModelError"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert answer["OriginalStatusCode"] == status
    assert answer["Error"]["Message"].startswith(f'Received client error ({status}) from primary with message "')
    assert answer["OriginalMessage"] in answer["Error"]["Message"]
    assert answer["LogStreamArn"].endswith(":log-group:/aws/sagemaker/Endpoints/infer-pca")


def test_an_accept_type_that_does_not_exist_is_a_model_error(endpoints: Aws) -> None:
    with pytest.raises(ClientError) as refused:
        invoke(endpoints, "infer-pca", csv(ROWS), "text/csv", Accept="image/png")
    answer: Any = refused.value.response
    assert answer["OriginalStatusCode"] == 406


def test_a_container_continues_to_serve_after_a_refused_request(endpoints: Aws) -> None:
    with pytest.raises(ClientError):
        invoke(endpoints, "infer-kmeans", b"x", "text/csv")
    assert invoke(endpoints, "infer-kmeans", csv(ROWS), "text/csv")["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_the_largest_body_is_served_and_a_byte_more_refused(endpoints: Aws) -> None:
    limit = 6_291_456
    answer = invoke(endpoints, "infer-kmeans", b"1,2,3,4\n".ljust(limit, b"\n"), "text/csv", Accept="text/csv")
    assert answer["Body"].read().count(b"\n") == 1
    with pytest.raises(ClientError) as refused:
        invoke(endpoints, "infer-kmeans", b"\n" * (limit + 1), "text/csv")
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_an_answer_over_the_limit_is_a_model_error(endpoints: Aws) -> None:
    body = csv(np.ones((90_000, 4), np.float32))
    with pytest.raises(ClientError) as refused:
        invoke(endpoints, "infer-pca", body, "text/csv", Accept="application/json")
    answer: Any = refused.value.response
    assert answer["Error"]["Code"] == "ModelError"
    assert "exceeds 6291456 bytes" in answer["OriginalMessage"]
