"""IAM: roles in templates, and the simulation of policies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ministack.core import iam_evaluator, responses
from ministack.services import iam

from embedded_aws.ministack import templates


def apply() -> None:
    """Correct IAM in this process."""
    keep_boundaries_of_templates()
    simulate_as_the_principal()


def keep_boundaries_of_templates() -> None:
    """Set the PermissionsBoundary of a template's role, which ministack's CloudFormation ignores."""

    def keep(name: str, properties: dict[str, Any]) -> None:
        boundary = properties.get("PermissionsBoundary")
        if boundary and not iam._policy_exists(boundary):
            raise ValueError(f"Scope ARN: {boundary} does not exist or is not attachable.")
        iam._roles[name]["PermissionsBoundary"] = boundary

    templates.extend("AWS::IAM::Role", keep)


def simulate_as_the_principal() -> None:
    """Let SimulatePrincipalPolicy consider a principal's path, its permissions boundary and every resource.

    ministack treats the path as part of the name, ignores the boundary, and simulates only the first resource.
    """

    def simulate(params: dict[str, Any]) -> Any:
        source = iam._p(params, "PolicySourceArn")
        kind, _, path_and_name = source.rpartition(":")[2].partition("/")
        name, account = path_and_name.rpartition("/")[2], responses.get_account_id()
        entities = {"user": iam._users, "role": iam._roles}.get(kind)
        if entities is None or entities.get(name) is None:
            return iam._error(404, "NoSuchEntity", f"The entity {source} cannot be found.", ns="iam")
        gather = iam_evaluator._gather_user_policies if kind == "user" else iam_evaluator._gather_role_policies
        layers = [gather(name, account), *iam_evaluator._permissions_boundary(entities, name, account)]
        actions, _resource = iam._extract_simulate_params(params)
        results = "".join(
            _result(source, action, resource, layers)
            for action in actions
            for resource in list(_members(params, "ResourceArns")) or ["*"]
        )
        body = f"<EvaluationResults>{results}</EvaluationResults><IsTruncated>false</IsTruncated>"
        result = f"<SimulatePrincipalPolicyResult>{body}</SimulatePrincipalPolicyResult>"
        return iam._xml(200, "SimulatePrincipalPolicyResponse", result, ns="iam")

    iam._IAM_HANDLERS["SimulatePrincipalPolicy"] = simulate


def _result(source: str, action: str, resource: str, layers: list[Any]) -> str:
    context = iam_evaluator.EvalContext(
        principal_arn=source,
        principal_type="User" if ":user/" in source else "AssumedRole",
        principal_account=responses.get_account_id(),
        action=action,
        resource_arn=resource,
        region=responses.get_region(),
    )
    decision = iam_evaluator.evaluate(context, *layers).decision
    worded = {"Allow": "allowed", "Deny": "explicitDeny"}.get(decision, "implicitDeny")
    facts = {"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": worded}
    return f"<member>{''.join(f'<{name}>{value}</{name}>' for name, value in facts.items())}</member>"


def _members(params: dict[str, Any], name: str) -> Iterator[str]:
    number = 1
    while value := iam._p(params, f"{name}.member.{number}"):
        yield str(value)
        number += 1
