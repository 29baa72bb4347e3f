"""The service models by which the embedded AWS finds the IAM action of a request."""

from typing import Any

import pytest
from ministack.core import iam_actions

from embedded_aws.ministack import service_models

SERVICES = ["s3", "lambda", "sqs", "events", "logs", "iam", "kms", "sagemaker", "sagemaker-runtime", "stepfunctions"]


@pytest.mark.parametrize("service", [*SERVICES, "a-service-that-does-not-exist"])
def test_operations_and_their_members_are_those_that_ministack_would_read(service: str) -> None:
    own, ours = iam_actions._load_botocore_model(service), service_models.description(service)
    assert ours.get("operations") == own.get("operations")
    assert _members(ours) == _members(own)


def _members(model: dict[str, Any]) -> dict[str, set[str]]:
    return {name: set(shape.get("members", ())) for name, shape in model.get("shapes", {}).items()}
