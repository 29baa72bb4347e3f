"""Checks with ministack's IAM whether a caller or a role may perform an action."""

from __future__ import annotations

import json
from typing import Any

from ministack import app
from ministack.core import iam_actions, iam_evaluator, lambda_runtime
from ministack.core.responses import get_account_id, get_region
from ministack.services import iam
from ministack.services import stepfunctions as sfn


class Denied(Exception):  # noqa: N818 - IAM's decision, not a malfunction
    """IAM does not allow the action; the message has AWS's wording."""


def check_caller(access_key: str, action: str, resource: str, context: dict[str, Any] | None = None) -> None:
    """Evaluate the policies of the owner of an access key, if IAM is enforced.

    Parameters
    ----------
    context
        The action's condition keys.

    Raises
    ------
    Denied
        If they do not allow the action on the resource.
    """
    if not app.AUTH:
        return
    service = action.partition(":")[0]
    denied = iam_evaluator.enforce(
        access_key, action, service, get_region(), resource_arn=resource, service_context=context or {}
    )
    if isinstance(denied, iam_evaluator.EvalResult):
        explicit = denied.decision == "Deny"
        raise Denied(str(iam_actions.identity_denial_message(action, denied.principal_arn, resource, explicit)))
    if denied is not None:
        raise Denied(denied.message)


def check_role(role_arn: str, action: str, resource: str, context: dict[str, Any] | None = None) -> None:
    """Evaluate a role's policies, as :func:`check_caller` does for a caller's."""
    key = role_credentials(role_arn, action.partition(":")[0])["AWS_ACCESS_KEY_ID"]
    check_caller(key, action, resource, context)


def authorize_task(role_arn: str, action: str, resource: str, error: str = "States.Permissions") -> None:
    """Evaluate a state machine's role as :func:`check_role` does, but fail the state with ``error``."""
    try:
        check_role(role_arn, action, resource)
    except Denied as denied:
        raise sfn._ExecutionError(error, str(denied)) from denied


def role_credentials(role_arn: str, session: str, name: str | None = None) -> dict[str, str]:
    """Return the credentials of a role's session as environment variables.

    Parameters
    ----------
    session
        Distinguishes the sessions of a role.
    name
        The session's name; by default ``session``.
    """
    # ministack derives the keys and the account from the ARN of the function that it makes the session for.
    arn = f"arn:aws:lambda:{get_region()}:{get_account_id()}:function:{session}"
    config = {"Role": role_arn, "FunctionArn": arn, "FunctionName": name or session}
    credentials: dict[str, str] = lambda_runtime.execution_credentials(config)
    return credentials


def trusts(role_arn: str, service: str) -> bool:
    """Return whether a role exists and its trust policy allows a service, such as ``sagemaker.amazonaws.com``."""
    role = iam._roles.get(role_arn.rsplit("/", 1)[-1])
    if role is None:
        return False
    document = role.get("AssumeRolePolicyDocument") or "{}"
    statements = (json.loads(document) if isinstance(document, str) else document).get("Statement", [])
    return any(
        iam_evaluator._service_principal_matches(statement.get("Principal"), service)
        for statement in ([statements] if isinstance(statements, dict) else statements)
        if statement.get("Effect") == "Allow"
    )
