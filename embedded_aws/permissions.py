"""Compares what the roles of a stack are granted with what IAM allowed and refused in the embedded AWS.

:func:`collect` writes the grants and decisions of a running cloud into a directory; :func:`read`,
:func:`compare` and :func:`render` turn any number of such directories into a report.
"""

from __future__ import annotations

import fnmatch
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

DECISIONS = "decisions.jsonl"
"""The file in a cloud's directory to which its server appends IAM's decisions."""

Clients = Callable[[str], Any]
"""Returns the boto3 client of a service, with the administrator's credentials."""

_STATE_MACHINE, _SAGEMAKER = "state machine", "sagemaker"


@dataclass(frozen=True, order=True)
class Decision:
    """IAM's decision about one request. ``role`` is the role's user, as in :class:`Grant`."""

    role: str
    action: str
    resource: str
    allowed: bool


@dataclass(frozen=True, order=True)
class Grant:
    """One action on one resource that a role's policies allow; both may contain wildcards.

    ``role`` is the role's user: the function that runs under it, ``state machine`` or ``sagemaker``.
    """

    role: str
    action: str
    resource: str

    def covers(self, decision: Decision) -> bool:
        """Return whether this grant allows the request."""
        return (
            self.role == decision.role
            and fnmatch.fnmatchcase(decision.action.lower(), self.action.lower())
            and fnmatch.fnmatchcase(decision.resource, self.resource.replace("[", "[[]"))
        )


@dataclass(frozen=True)
class Report:
    """The result of comparing grants with decisions.

    Attributes
    ----------
    used
        Grants that allowed at least one request.
    explained
        Grants that allowed no request but have a documented reason.
    unused
        Grants that allowed no request and have no documented reason.
    refused
        Requests that were refused.
    """

    used: Sequence[Grant]
    explained: Mapping[Grant, str]
    unused: Sequence[Grant]
    refused: Sequence[Decision]


def compare(grants: Iterable[Grant], decisions: Iterable[Decision], reasons: Mapping[str, Mapping[str, str]]) -> Report:
    """Find out which grants were used.

    Parameters
    ----------
    reasons
        Role (or ``*``) -> action -> why it is granted although the embedded AWS may not use it.
    """
    decisions = set(decisions)
    allowed = [decision for decision in decisions if decision.allowed]
    used: list[Grant] = []
    unused: list[Grant] = []
    for grant in sorted(set(grants)):
        (used if any(grant.covers(each) for each in allowed) else unused).append(grant)

    def reason(grant: Grant) -> str | None:
        return reasons.get(grant.role, {}).get(grant.action) or reasons.get("*", {}).get(grant.action)

    explained = {grant: why for grant in unused if (why := reason(grant))}
    return Report(
        used=used,
        explained=explained,
        unused=[grant for grant in unused if grant not in explained],
        refused=sorted(decision for decision in decisions if not decision.allowed),
    )


def collect_all(client: Clients, decisions: Path, into: Path) -> None:
    """Call :func:`collect` for every complete stack; do nothing if no decisions were recorded."""
    if not decisions.exists():
        return
    complete = ["CREATE_COMPLETE", "UPDATE_COMPLETE"]
    for page in client("cloudformation").get_paginator("list_stacks").paginate(StackStatusFilter=complete):
        for stack in page["StackSummaries"]:
            collect(client, decisions, stack["StackName"], into)


def collect(client: Clients, decisions: Path, stack_name: str, into: Path) -> None:
    """Write the grants of a stack's roles, and IAM's decisions about them, into a new file.

    Parameters
    ----------
    decisions
        The file :data:`DECISIONS` of the cloud.
    into
        The directory of the new file; created if necessary.
    """
    users = dict(_users(client, stack_name))
    grants = [grant for role, user in users.items() for grant in _grants(client, role, user)]
    made = [
        Decision(users[line["role"]], line["action"], line["resource"], line["allowed"])
        for line in map(json.loads, decisions.read_text().splitlines())
        if line["role"] in users
    ]
    # Generated names differ between clouds.
    names = _generated_names(client, stack_name)
    into.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"grants": [asdict(each) for each in grants], "decisions": [asdict(each) for each in made]})
    for physical, logical in names.items():
        text = text.replace(physical, f"<{logical}>")
    (into / f"{uuid.uuid4().hex}.json").write_text(text)


def read(directories: Iterable[Path]) -> tuple[set[Grant], set[Decision]]:
    """Read the grants and decisions that :func:`collect` wrote."""
    grants: set[Grant] = set()
    decisions: set[Decision] = set()
    for path in (path for directory in directories for path in sorted(directory.glob("*.json"))):
        facts = json.loads(path.read_text())
        grants |= {Grant(**each) for each in facts["grants"]}
        decisions |= {Decision(**each) for each in facts["decisions"]}
    return grants, decisions


def render(report: Report) -> str:
    """Return the report as a plain text table."""
    lines = []
    parts: list[tuple[str, Iterable[tuple[str, str, str, str]]]] = [
        ("Granted and used", ((g.role, g.action, g.resource, "") for g in report.used)),
        (
            "Granted, not exercised here, with a reason",
            ((g.role, g.action, g.resource, why) for g, why in report.explained.items()),
        ),
        ("Granted and never used", ((g.role, g.action, g.resource, "") for g in report.unused)),
        ("Refused", ((d.role, d.action, d.resource, "") for d in report.refused)),
    ]
    for title, rows in parts:
        shown = [
            f"  {role:16} {action:38} {resource}{f'  # {why}' if why else ''}" for role, action, resource, why in rows
        ]
        lines += ["", f"{title}: {len(shown) or 'none'}", *shown]
    return "\n".join(lines[1:])


def _users(client: Clients, stack_name: str) -> Iterator[tuple[str, str]]:
    """Yield each role of a stack with its user: a function, the state machine or SageMaker."""
    functions = {
        function["Role"].rsplit("/", 1)[-1]: function["FunctionName"].removeprefix(f"{stack_name}-").replace("-", "_")
        for page in client("lambda").get_paginator("list_functions").paginate()
        for function in page["Functions"]
        if function["FunctionName"].startswith(f"{stack_name}-")
    }
    iam = client("iam")
    for logical, physical in _resources(client, stack_name, "AWS::IAM::Role"):
        trust = json.dumps(iam.get_role(RoleName=physical)["Role"]["AssumeRolePolicyDocument"])
        named = {"states.amazonaws.com": _STATE_MACHINE, "sagemaker.amazonaws.com": _SAGEMAKER}
        user = next((name for service, name in named.items() if service in trust), logical)
        yield physical, functions.get(physical, user)


def _grants(client: Clients, role: str, user: str) -> Iterator[Grant]:
    iam = client("iam")
    documents = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        version = iam.get_policy(PolicyArn=policy["PolicyArn"])["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId=version)
        documents.append(found["PolicyVersion"]["Document"])
    for document in documents:
        for statement in _as_list(document["Statement"]):
            if statement["Effect"] == "Allow":
                for action in _as_list(statement["Action"]):
                    for resource in _as_list(statement["Resource"]):
                        yield Grant(user, action, resource)


def _generated_names(client: Clients, stack_name: str) -> dict[str, str]:
    kinds = ("AWS::S3::Bucket", "AWS::IAM::Role", "AWS::KMS::Key", "AWS::SQS::Queue")
    return {physical: logical for kind in kinds for logical, physical in _resources(client, stack_name, kind)}


def _resources(client: Clients, stack_name: str, kind: str) -> Iterator[tuple[str, str]]:
    pages = client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack_name)
    for page in pages:
        for resource in page["StackResourceSummaries"]:
            if resource["ResourceType"] == kind:
                yield resource["LogicalResourceId"], resource["PhysicalResourceId"]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
