"""Generates docs/permissions.md: what each role of the stack may do, read from the template."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infra.definition import text
from tools.documents.tables import code, table

_HEAD = """# Permissions

`make docs` writes this page from the synthesized template. It has every permission of every role that the stack creates
with the settings of `cdk.json`; `<Name>` stands for a resource or a parameter of the template.
[Security](security.md) says why each role exists, and `make permissions` which of these permissions the tests use.

"""
_HASH = re.compile(r"[0-9A-F]{8}$")


def render(template: Mapping[str, Any]) -> str:
    """Return the page: a section for each role, by its description."""
    policies = [policy for _, policy in _resources(template, "AWS::IAM::Policy")]
    sections = []
    for logical_id, role in _resources(template, "AWS::IAM::Role"):
        attached = [policy for policy in policies if {"Ref": logical_id} in policy["Roles"]]
        statements = [each for policy in attached for each in policy["PolicyDocument"]["Statement"]]
        title = role["Description"].removeprefix("Taken by ")
        sections.append(f"## {title[0].upper()}{title[1:]}\n\n{_trust(role)}\n\n{_permissions(statements)}")
    return _HEAD + "\n".join(sections)


def _trust(role: Mapping[str, Any]) -> str:
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    return f"Only {code(_listed(statement['Principal']['Service']))} may assume this role."


def _permissions(statements: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for statement in statements:
        condition = [f"{key} {operator} {json.dumps(value)}" for operator, key, value in _conditions(statement)]
        rows.append([code(_listed(statement["Action"])), code(_listed(statement["Resource"])), code(condition)])
    columns = 3 if any(row[2] for row in rows) else 2
    return table(["May", "On", "If"][:columns], [row[:columns] for row in rows])


def _conditions(statement: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for operator, tests in statement.get("Condition", {}).items():
        for key, value in tests.items():
            yield operator, key, value


def _resources(template: Mapping[str, Any], kind: str) -> list[tuple[str, Mapping[str, Any]]]:
    return [(name, each["Properties"]) for name, each in template["Resources"].items() if each["Type"] == kind]


def _listed(value: Any) -> list[str]:
    return [text(each, _reference) for each in (value if isinstance(value, list) else [value])]


def _reference(value: Any) -> str:
    """Write a reference as ``<name>``, without the hash that CDK adds to the name."""
    match value:
        case {"Fn::GetAtt": [name, "Arn"]}:
            return f"<{_HASH.sub('', name)}>"
        case {"Fn::FindInMap": [_, _, key]}:
            return f"<account of the image {key}>"
        case {"Ref": name}:
            return f"<{_HASH.sub('', name).removeprefix('AWS::')}>"
    raise TypeError(f"{value!r} is not text that a template builds")
