"""Who may do what: PassRole and secondary checks for callers, credentials for roles.

All of it asks ministack's own evaluator and session store, so the embedded SageMaker is under the same law as the rest.
"""

from __future__ import annotations

import json
from typing import Any

from ministack import app
from ministack.core.iam_actions import identity_denial_message
from ministack.core.iam_evaluator import EvalResult, _service_principal_matches, enforce
from ministack.core.lambda_runtime import execution_credentials
from ministack.services import iam

from embedded_aws.sagemaker.errors import access_denied, validation
from embedded_aws.sagemaker.state import Scope

_SERVICE_PRINCIPAL = "sagemaker.amazonaws.com"


def require(caller: str, action: str, resource_arn: str, scope: Scope, context: dict[str, Any] | None = None) -> None:
    """Check one permission of the caller, beyond what the gateway has checked.

    Parameters
    ----------
    caller
        The access key id that signed the request.
    action, resource_arn
        Such as `iam:PassRole` on a role's ARN.
    context
        Condition keys of the action.

    Raises
    ------
    AwsError
        AccessDeniedException, in AWS's words.
    """
    if not app.AUTH:
        return
    service = action.partition(":")[0]
    denied = enforce(caller, action, service, scope.region, resource_arn=resource_arn, service_context=context)
    if denied is None:
        return
    if isinstance(denied, EvalResult):
        explicit = denied.decision == "Deny"
        raise access_denied(identity_denial_message(action, denied.principal_arn, resource_arn, explicit))
    raise access_denied(denied.message)


def require_pass_role(caller: str, role_arn: str, scope: Scope) -> None:
    """Check that the caller may hand the role to SageMaker, and that the role lets SageMaker assume it.

    Raises
    ------
    AwsError
        AccessDeniedException without `iam:PassRole`; ValidationException when the role is missing or trusts others.
    """
    if not app.AUTH:
        return
    require(caller, "iam:PassRole", role_arn, scope, {"iam:PassedToService": _SERVICE_PRINCIPAL})
    if not _trusts_sagemaker(role_arn):
        raise validation(
            f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal "
            f"'{_SERVICE_PRINCIPAL}' to assume the role."
        )


def _trusts_sagemaker(role_arn: str) -> bool:
    role = iam._roles.get(role_arn.rsplit("/", 1)[-1])
    if role is None:
        return False
    document = role.get("AssumeRolePolicyDocument") or "{}"
    statements = (json.loads(document) if isinstance(document, str) else document).get("Statement", [])
    allowing = [
        statement
        for statement in ([statements] if isinstance(statements, dict) else statements)
        if statement.get("Effect") == "Allow"
    ]
    return any(_service_principal_matches(statement.get("Principal"), _SERVICE_PRINCIPAL) for statement in allowing)


def role_credentials(role_arn: str, resource_arn: str, scope: Scope) -> dict[str, str]:
    """Return credentials of a session of the role, as the environment of a process.

    The session is the one ministack gives to a function under that role; SageMaker's is named `SageMaker`.
    """
    # The function's ARN only has to be well formed and distinct: it seeds the keys and names the account.
    distinct = resource_arn.rsplit(":", 1)[-1].replace("/", "-")
    function_arn = f"arn:aws:lambda:{scope.region}:{scope.account}:function:{distinct}"
    session = {"Role": role_arn, "FunctionArn": function_arn, "FunctionName": "SageMaker"}
    credentials: dict[str, str] = execution_credentials(session)
    return credentials
