"""What a service does on a role's behalf, authorised under that role as on AWS."""

from __future__ import annotations

from typing import Any

from ministack import app
from ministack.core import iam_actions, iam_evaluator, lambda_runtime
from ministack.core.responses import get_account_id, get_region
from ministack.services import stepfunctions as sfn


class Denied(Exception):  # noqa: N818 - an answer of IAM, not an error
    """The role's policies don't allow it; the message is AWS's."""


def check(role_arn: str, action: str, resource: str, context: dict[str, Any] | None = None) -> None:
    """Evaluate a role's policies, where IAM is enforced.

    Raises
    ------
    Denied
        If they don't allow the action on the resource.
    """
    if not app.AUTH:
        return
    service = action.partition(":")[0]
    key = lambda_runtime.execution_credentials(
        {
            "Role": role_arn,
            "FunctionArn": f"arn:aws:lambda:{get_region()}:{get_account_id()}:function:{service}",
            "FunctionName": service,
        }
    )["AWS_ACCESS_KEY_ID"]
    denied = iam_evaluator.enforce(
        key, action, service, get_region(), resource_arn=resource, service_context=context or {}
    )
    if denied is not None:
        principal = getattr(denied, "principal_arn", role_arn)
        explicit = getattr(denied, "decision", "") == "Deny"
        raise Denied(str(iam_actions.identity_denial_message(action, principal, resource, explicit)))


def authorize(role_arn: str, action: str, resource: str, error: str = "States.Permissions") -> None:
    """As :func:`check`, but fail the state with ``error``."""
    try:
        check(role_arn, action, resource)
    except Denied as denied:
        raise sfn._ExecutionError(error, str(denied)) from denied
