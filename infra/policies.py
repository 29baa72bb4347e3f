"""Grants permissions to roles, with a reason for each resource that contains a wildcard."""

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import Acknowledgment, Stack, Validations
from aws_cdk import aws_iam as iam


def allow(
    role: iam.Role,
    actions: Sequence[str],
    resources: Sequence[str],
    *,
    conditions: Mapping[str, Any] | None = None,
    because: str | None = None,
) -> None:
    """Allow a role to perform actions on resources.

    Parameters
    ----------
    because
        Why the resources contain a wildcard. This acknowledges cdk-nag's finding on this role, for these resources
        only; a wildcard without a reason fails the checks.
    """
    role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions))
    if because is None:
        return
    stack = Stack.of(role)
    for resource in resources:
        name = _flatten(stack.resolve(resource))
        if "*" in name:
            acknowledge(role, f"AwsSolutions-IAM5[Resource::{name}]", because)


def acknowledge(construct: Any, rule: str, reason: str) -> None:
    """Acknowledge one finding of cdk-nag on one construct."""
    Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))


def acknowledge_control(construct: Any, rule: str, reason: str) -> None:
    """Acknowledge one finding that cdk-nag's packs for NIST 800-53 and HIPAA have in common, such as ``LambdaDLQ``."""
    for pack in ("NIST.800.53.R5", "HIPAA.Security"):
        acknowledge(construct, f"{pack}-{rule}", reason)


def _flatten(value: Any) -> str:
    """Return an ARN with references in the form of cdk-nag's findings: ``<ResultsBucket.Arn>/runs/*``."""
    match value:
        case str():
            return value
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(_flatten(part) for part in parts)
    raise TypeError(f"cannot name {value!r} in an acknowledgment")
