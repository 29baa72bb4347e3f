"""Compares hosting the models with applying them in functions at the recorded pace, for ``make bench``.

Jobs and endpoints take 191, 375, 191 and 440 s as in the recorded run, and Wait states the seconds of the template, all
multiplied by a scale. The functions and the state machine's calls take the same time at any scale. Runs at two scales
therefore give both parts: ``total(scale) = scale * scaled + real``, so a run at scale 1 takes ``scaled + real``.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.execution import execution
from contract.layout import RunLayout
from local.stack import Stack

TRAINING_SECONDS, CREATION_SECONDS = 191 + 191, 375 + 440
SAGEMAKER_SECONDS = {"endpoint": TRAINING_SECONDS + CREATION_SECONDS, "function": TRAINING_SECONDS}
BILLABLE_SECONDS = 23 + 26  # of both training jobs in the recorded run
SCALES = {"endpoint": (0.02, 0.09), "function": (0.02, 0.2)}
ROWS = 3_220
# us-east-1, Standard workflows, beyond the free tier: https://aws.amazon.com/step-functions/pricing/
DOLLARS_PER_TRANSITION = 0.000025
# The made-up prices of docs/cost.md.
TRAINING_DOLLARS_PER_HOUR, HOSTING_DOLLARS_PER_HOUR = 0.30, 0.07

Row = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One run at one scale.

    Attributes
    ----------
    seconds, in_service
        The seconds of the execution, and those of all endpoints from the status InService to their deletion.
    transitions
        State transitions, including those of the maps' child executions.
    permissions
        Actions that the roles' policies allow, each counted once per role.
    """

    seconds: float
    in_service: float
    transitions: int
    permissions: int


def measure() -> list[Row]:
    """Measure one run at each scale with either setting, and compute what it would take at scale 1."""
    return [_row(inference, *(_run(inference, scale) for scale in SCALES[inference])) for inference in SCALES]


def _row(inference: str, few: Run, many: Run) -> Row:
    scales = SCALES[inference]
    scaled, real = _parts(scales, few.seconds, many.seconds)
    waiting = SAGEMAKER_SECONDS[inference]
    hosting = sum(_parts(scales, few.in_service, many.in_service)) + (
        CREATION_SECONDS if inference == "endpoint" else 0
    )
    dollars = (
        BILLABLE_SECONDS / 3600 * TRAINING_DOLLARS_PER_HOUR
        + hosting / 3600 * HOSTING_DOLLARS_PER_HOUR
        + many.transitions * DOLLARS_PER_TRANSITION
    )
    return {
        "name": f"run at the recorded pace, inference: {inference}",
        "reference": "SageMaker's own seconds",
        "rows": ROWS,
        "seconds": round(scaled + real, 1),
        "reference_seconds": waiting,
        "ratio": round(waiting / (scaled + real), 4),
        "inference": {
            "setting": inference,
            "seconds": round(scaled + real),
            "found late, seconds": round(scaled - waiting, 1),
            "state transitions": many.transitions,
            "training instance seconds, billable": BILLABLE_SECONDS,
            "hosting instance seconds": round(hosting),
            "dollars": round(dollars, 4),
            "allowed actions": many.permissions,
        },
    }


def _parts(scales: tuple[float, float], few: float, many: float) -> tuple[float, float]:
    """Return the seconds at scale 1 that grow with the scale, and those that do not."""
    scaled = (many - few) / (scales[1] - scales[0])
    return scaled, few - scales[0] * scaled


def _run(inference: str, scale: float) -> Run:
    settings = {"inference": inference}
    with execution(None, settings, wait_scale=scale, longest_wait=math.inf, pace=f"recorded*{scale}") as (stack, run):
        name = stack.runs()[0]["name"]
        return Run(run.seconds, _in_service(stack, name), _transitions(stack, name), _permissions(stack))


def _in_service(stack: Stack, run_id: str) -> float:
    body = stack.client("s3").get_object(Bucket=stack.results_bucket, Key=RunLayout(run_id).manifest)["Body"]
    seconds: float = json.loads(body.read())["endpoint_seconds"]
    return seconds


def _transitions(stack: Stack, run_id: str) -> int:
    states = stack.client("stepfunctions")
    execution_arn = stack.execution_arn(run_id)
    executions = [execution_arn]
    for map_run in states.list_map_runs(executionArn=execution_arn)["mapRuns"]:
        children = states.list_executions(mapRunArn=map_run["mapRunArn"])["executions"]
        executions += [child["executionArn"] for child in children]
    pages = (
        page["events"]
        for arn in executions
        for page in states.get_paginator("get_execution_history").paginate(executionArn=arn)
    )
    return sum(_entered(events) for events in pages)


def _entered(events: Iterable[Mapping[str, Any]]) -> int:
    return sum(event["type"].endswith("StateEntered") for event in events)


def _permissions(stack: Stack) -> int:
    """Count the actions that the inline policies of the stack's roles allow."""
    iam = stack.client("iam")
    count = 0
    for role in (role for page in iam.get_paginator("list_roles").paginate() for role in page["Roles"]):
        for policy in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role["RoleName"], PolicyName=policy)["PolicyDocument"]
            statements = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
            allowed = [statement["Action"] for statement in statements if statement["Effect"] == "Allow"]
            count += sum(1 if isinstance(actions, str) else len(actions) for actions in allowed)
    return count


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
