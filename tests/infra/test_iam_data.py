"""Every action, resource and condition key of the templates' policies exists, and they fit each other.

The facts are AWS's Service Authorization Reference, as the package policy_sentry holds them.
"""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pytest
from policy_sentry.querying.actions import get_action_data, get_actions_for_service

from tests.infra.synthesis import BUDGET, KMS, template_of, two_in_one_stack
from tests.infra.test_locked_down import LOCKED

TEMPLATES = {"default": {}, "kms": KMS, "budget": BUDGET, "locked": LOCKED, "function": {"inference": "function"}}
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
GLOBAL_KEYS = {"aws:SecureTransport", "aws:SourceAccount", "aws:SourceArn"}
ACKNOWLEDGED = {
    # The reference has no resource for it, but AWS checks the ARN of all log groups: terraform-provider-aws#8804.
    "logs:DescribeLogGroups on none of ['arn:*:logs:*:*:log-group:*']",
    "resource arn:*:logs:*:*:log-group:* of none of logs:DescribeLogGroups",
    # As in CloudWatch Logs' own example, although a request without an encryption context never meets the condition:
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
    "condition key kms:EncryptionContext:aws:logs:arn of kms:DescribeKey",
}
"""What the reference does not have, and stays."""

# In policies of these resources, the resource is the one that has the policy.
OF_A_RESOURCE = ("AWS::KMS::Key", "AWS::IAM::Role")

Statement = dict[str, Any]


def statements(template: dict[str, Any]) -> Iterator[tuple[str, Statement]]:
    """Yield each statement with the type of the resource that has it."""
    for resource in template["Resources"].values():
        for document in documents(resource.get("Properties", {})):
            yield from ((resource["Type"], statement) for statement in document["Statement"])


def documents(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the policy documents within a resource's properties."""
    if isinstance(value, dict):
        if "Statement" in value and "Version" in value:
            yield value
        for each in value.values():
            yield from documents(each)
    elif isinstance(value, list):
        for each in value:
            yield from documents(each)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@cache
def rows_of(pattern: str) -> tuple[dict[str, Any], ...]:
    """Return the reference's rows of the actions that a name or pattern matches: one for each type of resource."""
    service, _, name = pattern.partition(":")
    names = [each.partition(":")[2] for each in get_actions_for_service(service)]
    matching = [each for each in names if fnmatchcase(each.lower(), name.lower())]
    found = [get_action_data(service, each) for each in matching]
    return tuple(row for each in found if each for row in each[service])


def arn_of(value: Any, template: dict[str, Any]) -> str:
    """Return a resource's ARN as a pattern; what refers to something outside the template is ``*``."""
    match value:
        case str():
            return value
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(arn_of(part, template) for part in parts)
        case {"Fn::GetAtt": [name, "Arn"]}:
            return ARNS[template["Resources"][name]["Type"]]
        case {"Ref": name} if name in template["Resources"]:
            return ARNS.get(template["Resources"][name]["Type"], "*")
        case {"Ref": _}:
            return "*"
        case {"Fn::GetAtt": _} | {"Fn::Select": _} | {"Fn::FindInMap": _}:
            return "*"
    raise TypeError(f"cannot read the ARN {value!r}")


# What GetAtt's Arn, or Ref, is for the resources that policies name.
ARNS = {
    "AWS::IAM::Role": "arn:aws:iam::1:role/r",
    "AWS::KMS::Key": "arn:aws:kms:r:1:key/k",
    "AWS::Lambda::Function": "arn:aws:lambda:r:1:function:f",
    "AWS::S3::Bucket": "arn:aws:s3:::b",
    "AWS::SNS::Topic": "arn:aws:sns:r:1:t",
    "AWS::SQS::Queue": "arn:aws:sqs:r:1:q",
    "AWS::StepFunctions::StateMachine": "arn:aws:states:r:1:stateMachine:m",
    "AWS::Logs::LogGroup": "arn:aws:logs:r:1:log-group:g:*",
}


@cache
def overlap(one: str, other: str) -> bool:
    """Return whether a text exists that both patterns match."""
    if one.startswith("*"):
        return overlap(one[1:], other) or (other != "" and overlap(one, other[1:]))
    if other.startswith("*"):
        return overlap(other, one)
    if not one or not other:
        return one == other
    return one[0] == other[0] and overlap(one[1:], other[1:])


def fits(arn: str, row: dict[str, Any]) -> bool:
    """Return whether an ARN, which may have wildcards, can name a resource of the row's type."""
    if "*" in (arn, row["resource_arn_format"]):
        return arn == "*"
    if row["resource_arn_format"].endswith(":::${BucketName}") and "/" in arn:
        return False
    expected = re.sub(r"\$\{[^}]*\}", "*", row["resource_arn_format"])
    # Part by part, because a wildcard for the region does not match what follows it.
    return all(map(overlap, arn.split(":", 5), expected.split(":", 5)))


def unknown(template: dict[str, Any]) -> Iterator[str]:
    """Yield what the reference does not have, or does not allow in one statement."""
    for kind, statement in statements(template):
        for action in as_list(statement["Action"]):
            rows = rows_of(action)
            if not rows:
                yield f"action {action}"
                continue
            if kind not in OF_A_RESOURCE:
                arns = [arn_of(each, template) for each in as_list(statement["Resource"])]
                if not any(fits(arn, row) for arn in arns for row in rows):
                    yield f"{action} on none of {arns}"
            keys = {key for condition in statement.get("Condition", {}).values() for key in condition}
            known = {key for row in rows for key in row["condition_keys"]}
            for key in keys - GLOBAL_KEYS:
                if not any(fnmatchcase(key.lower(), re.sub(r"\$\{[^}]*\}", "*", each).lower()) for each in known):
                    yield f"condition key {key} of {action}"
        if kind not in OF_A_RESOURCE:
            every = [row for action in as_list(statement["Action"]) for row in rows_of(action)]
            for resource in as_list(statement["Resource"]):
                arn = arn_of(resource, template)
                if arn != "*" and not any(fits(arn, row) for row in every):
                    yield f"resource {arn} of none of {statement['Action']}"


@pytest.mark.parametrize("settings", TEMPLATES.values(), ids=TEMPLATES)
def test_every_action_resource_and_condition_key_exists(settings: dict[str, Any]) -> None:
    template = template_of(**settings)
    assert len(list(statements(template))) > 50
    assert sorted(set(unknown(template)) - ACKNOWLEDGED) == []


def test_a_stack_of_two_deployments_names_only_what_exists() -> None:
    assert sorted(set(unknown(two_in_one_stack())) - ACKNOWLEDGED) == []


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ({"Action": "s3:GetObjekt", "Resource": "arn:aws:s3:::b/*"}, "action s3:GetObjekt"),
        ({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::b"}, "s3:GetObject on none of ['arn:aws:s3:::b']"),
        (
            {"Action": "xray:PutTraceSegments", "Resource": "arn:aws:xray:r:1:group/g/1"},
            "xray:PutTraceSegments on",
        ),
        (
            {
                "Action": "sns:Publish",
                "Resource": "arn:aws:sns:r:1:t",
                "Condition": {"StringEquals": {"sns:Colour": "red"}},
            },
            "condition key sns:Colour of sns:Publish",
        ),
    ],
    ids=["action", "resource", "no resource", "key"],
)
def test_what_does_not_exist_is_found(statement: Statement, finding: str) -> None:
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}
    template = {"Resources": {"P": {"Type": "AWS::IAM::Policy", "Properties": {"PolicyDocument": document}}}}
    assert any(found.startswith(finding) for found in unknown(template))
