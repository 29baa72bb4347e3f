"""What each role is granted, what of it was used, and what was refused: from the embedded AWS's own decisions.

``python -m embedded_aws.permissions`` runs the sample census through the whole stack and prints the table;
given directories that :func:`collect` has written (the tests write them where ``EMBEDDED_AWS_RECORDS``
names a directory), it prints what they say together. It exits with 1 when anything was refused, or is
granted and never used without a reason beside the grant.
"""

from __future__ import annotations

import fnmatch
import json
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from embedded_aws.cloud.instance import Cloud
from embedded_aws.cloud.server import DECISIONS

_STATE_MACHINE, _SAGEMAKER = "state machine", "sagemaker"


@dataclass(frozen=True, order=True)
class Decision:
    """IAM's answer to one request: ``role`` is named by who takes it, as in :class:`Grant`."""

    role: str
    action: str
    resource: str
    allowed: bool


@dataclass(frozen=True, order=True)
class Grant:
    """One action on one resource that a role's policies allow; both may hold wildcards."""

    role: str
    action: str
    resource: str

    def covers(self, decision: Decision) -> bool:
        """Whether this grant is what allowed a request."""
        return (
            self.role == decision.role
            and fnmatch.fnmatchcase(decision.action.lower(), self.action.lower())
            and fnmatch.fnmatchcase(decision.resource, self.resource.replace("[", "[[]"))
        )


@dataclass(frozen=True)
class Report:
    """Grants and decisions, compared.

    Attributes
    ----------
    used
        Grants that allowed something.
    explained
        Grants that allowed nothing, with the reason why they are there.
    unused
        Grants that allowed nothing, and nobody says why they are there.
    refused
        Requests that were refused.
    """

    used: Sequence[Grant]
    explained: Mapping[Grant, str]
    unused: Sequence[Grant]
    refused: Sequence[Decision]


def compare(grants: Iterable[Grant], decisions: Iterable[Decision], reasons: Mapping[str, Mapping[str, str]]) -> Report:
    """Say which grants were used.

    Parameters
    ----------
    reasons
        Role (or ``*``) -> action -> why it is granted though a rehearsal may not use it.
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


def collect_all(cloud: Cloud, into: Path) -> None:
    """As :func:`collect`, for every stack that is there."""
    if not (cloud.directory / DECISIONS).exists():
        return
    complete = ["CREATE_COMPLETE", "UPDATE_COMPLETE"]
    pages = cloud.client("cloudformation").get_paginator("list_stacks").paginate(StackStatusFilter=complete)
    for page in pages:
        for stack in page["StackSummaries"]:
            collect(cloud, stack["StackName"], into)


def collect(cloud: Cloud, stack_name: str, into: Path) -> None:
    """Write the grants of a stack's roles and the decisions about them into a new file of a directory."""
    takers = dict(_takers(cloud, stack_name))
    grants = [grant for role, taker in takers.items() for grant in _grants(cloud, role, taker)]
    decisions = [
        Decision(takers[line["role"]], line["action"], line["resource"], line["allowed"])
        for line in map(json.loads, (cloud.directory / DECISIONS).read_text().splitlines())
        if line["role"] in takers
    ]
    # Generated names differ from one cloud to the next.
    names = _generated_names(cloud, stack_name)
    into.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"grants": [asdict(each) for each in grants], "decisions": [asdict(each) for each in decisions]})
    for physical, logical in names.items():
        text = text.replace(physical, f"<{logical}>")
    (into / f"{uuid.uuid4().hex}.json").write_text(text)


def read(directories: Iterable[Path]) -> tuple[set[Grant], set[Decision]]:
    """Read what :func:`collect` has written."""
    grants: set[Grant] = set()
    decisions: set[Decision] = set()
    for path in (path for directory in directories for path in sorted(directory.glob("*.json"))):
        facts = json.loads(path.read_text())
        grants |= {Grant(**each) for each in facts["grants"]}
        decisions |= {Decision(**each) for each in facts["decisions"]}
    return grants, decisions


def render(report: Report) -> str:
    """Return the report as a table in plain text."""
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


def _takers(cloud: Cloud, stack_name: str) -> Iterator[tuple[str, str]]:
    """Yield each of a stack's roles with who takes it: a function, the state machine, SageMaker."""
    functions = {
        function["Role"].rsplit("/", 1)[-1]: function["FunctionName"].removeprefix(f"{stack_name}-").replace("-", "_")
        for page in cloud.client("lambda").get_paginator("list_functions").paginate()
        for function in page["Functions"]
        if function["FunctionName"].startswith(f"{stack_name}-")
    }
    iam = cloud.client("iam")
    for logical, physical in _resources(cloud, stack_name, "AWS::IAM::Role"):
        trust = json.dumps(iam.get_role(RoleName=physical)["Role"]["AssumeRolePolicyDocument"])
        named = {"states.amazonaws.com": _STATE_MACHINE, "sagemaker.amazonaws.com": _SAGEMAKER}
        taker = next((name for service, name in named.items() if service in trust), logical)
        yield physical, functions.get(physical, taker)


def _grants(cloud: Cloud, role: str, taker: str) -> Iterator[Grant]:
    iam = cloud.client("iam")
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
                        yield Grant(taker, action, resource)


def _generated_names(cloud: Cloud, stack_name: str) -> dict[str, str]:
    kinds = ("AWS::S3::Bucket", "AWS::IAM::Role", "AWS::KMS::Key", "AWS::SQS::Queue")
    return {physical: logical for kind in kinds for logical, physical in _resources(cloud, stack_name, kind)}


def _resources(cloud: Cloud, stack_name: str, kind: str) -> Iterator[tuple[str, str]]:
    pages = cloud.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack_name)
    for page in pages:
        for resource in page["StackResourceSummaries"]:
            if resource["ResourceType"] == kind:
                yield resource["LogicalResourceId"], resource["PhysicalResourceId"]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _reasons() -> dict[str, dict[str, str]]:
    """Ask the stack's own code why it grants what a rehearsal doesn't use."""
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "infra.not_rehearsed"], cwd=root, capture_output=True, text=True, check=True
    )
    reasons: dict[str, dict[str, str]] = json.loads(done.stdout)
    return reasons


def _rehearse(into: Path) -> None:
    """Run the sample census through a cloud of its own, and collect what was decided."""
    from local import synthetic_census as sample  # noqa: PLC0415 - brings pandas, which a mere table doesn't need
    from local.follow import Follower  # noqa: PLC0415
    from local.session import Journal, Options, running  # noqa: PLC0415

    with running(Options(), Journal(lambda _: None)) as stack:
        csv = into / sample.FILE_NAME
        sample.write(csv)
        run = stack.execution_arn(stack.upload(csv))
        Follower(stack.client("stepfunctions"), run).watch(lambda _: None)
        collect(stack.cloud, stack.state_machine_arn.rsplit(":", 1)[-1], into)


def main(arguments: Sequence[str]) -> int:
    """Print the table for the directories given, or for a run of the sample."""
    with tempfile.TemporaryDirectory() as own:
        if not arguments:
            _rehearse(Path(own))
        report = compare(*read(Path(each) for each in arguments or [own]), _reasons())
    print(render(report))
    return 1 if report.unused or report.refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
