"""The private names of ministack that our SageMaker hangs on: a new version that moves one fails here, by name."""

import importlib
import inspect
from importlib.metadata import version

import pytest

NAMES = {
    "ministack.app": [
        "AUTH",
        "app",
        "SERVICE_REGISTRY",
        "SERVICE_HANDLERS",
        "_loaded_modules",
        "_handle_admin_config_request",
    ],
    "ministack.core.router": ["SERVICE_PATTERNS", "extract_access_key_id"],
    "ministack.core.iam_actions": [
        "SERVICE_TO_IAM_NAMESPACE",
        "_BOTOCORE_SERVICE_MAP",
        "_s3_action",
        "_tag_operations",
        "access_denied_response",
        "extract_resource_arn",
        "identity_denial_message",
    ],
    "ministack.core.iam_evaluator": ["EvalResult", "_service_principal_matches", "enforce"],
    "ministack.core.lambda_runtime": ["execution_credentials"],
    "ministack.core.responses": ["_service_model", "get_account_id", "get_region"],
    "ministack.services.iam": ["_roles"],
    "ministack.services.s3": ["handle_request"],
    "ministack.services.stepfunctions": ["_AWS_SDK_SERVICE_MAP", "_AWS_SDK_ERROR_PREFIX"],
    "ministack.services.tagging": ["_RESOURCE_TAG_COLLECTORS"],
}


def test_ministack_is_the_version_this_was_written_for() -> None:
    assert version("ministack") == "1.5.33"


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in NAMES.items() for name in names])
def test_a_private_name_is_where_it_was(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name), f"{module}.{name} has moved"


@pytest.mark.parametrize(
    ("module", "name", "parameters"),
    [
        ("ministack.app", "_handle_admin_config_request", ["path", "method", "body"]),
        (
            "ministack.core.iam_actions",
            "extract_resource_arn",
            ["service", "method", "path", "headers", "body", "query_params", "region", "account_id"],
        ),
        (
            "ministack.core.iam_evaluator",
            "enforce",
            ["access_key_id", "iam_action", "service", "region", "resource_arn", "service_context"],
        ),
        ("ministack.core.lambda_runtime", "execution_credentials", ["config"]),
    ],
)
def test_a_private_function_takes_what_it_took(module: str, name: str, parameters: list[str]) -> None:
    signature = inspect.signature(getattr(importlib.import_module(module), name))
    assert list(signature.parameters) == parameters
