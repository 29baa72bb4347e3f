"""Measures how much longer a run takes than SageMaker alone, for ``make bench``.

Jobs and endpoints take 191, 375, 191 and 440 s as in the recorded run, and Wait states the seconds of the template, all
multiplied by a scale. The functions and the state machine's calls take the same time at any scale. Runs at two scales
therefore give both parts: ``total(scale) = scale * scaled + real``, so a run at scale 1 takes ``scaled + real``.
"""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from bench.execution import execution

SAGEMAKER_SECONDS = 191 + 375 + 191 + 440
SCALES = (0.02, 0.12)
ROWS = 3_220
# us-east-1, Standard workflows, beyond the free tier: https://aws.amazon.com/step-functions/pricing/
DOLLARS_PER_TRANSITION = 0.000025

Row = dict[str, Any]


def measure() -> list[Row]:
    """Measure one run at each scale and compute what it would take at scale 1."""
    (few, transitions), (many, _) = (_run(scale) for scale in SCALES)
    scaled = (many - few) / (SCALES[1] - SCALES[0])
    real = few - SCALES[0] * scaled
    total = scaled + real
    return [
        {
            "name": "timeline, recorded pace",
            "reference": "SageMaker's own 191 + 375 + 191 + 440 s",
            "rows": ROWS,
            "seconds": round(total, 1),
            "reference_seconds": SAGEMAKER_SECONDS,
            "ratio": round(total / SAGEMAKER_SECONDS, 4),
            "transitions": transitions,
            "transition_dollars": round(transitions * DOLLARS_PER_TRANSITION, 5),
            "parts": {
                "SageMaker": SAGEMAKER_SECONDS,
                "found late": round(scaled - SAGEMAKER_SECONDS, 1),
                "functions and calls": round(real, 1),
            },
        }
    ]


def _run(scale: float) -> tuple[float, int]:
    """Return the execution's seconds and its state transitions, including those of the maps' child executions."""
    with execution(wait_scale=scale, longest_wait=math.inf, pace=f"recorded*{scale}") as (stack, run):
        states = stack.client("stepfunctions")
        execution_arn = stack.execution_arn(stack.runs()[0]["name"])
        executions = [execution_arn]
        for map_run in states.list_map_runs(executionArn=execution_arn)["mapRuns"]:
            children = states.list_executions(mapRunArn=map_run["mapRunArn"])["executions"]
            executions += [child["executionArn"] for child in children]
        pages = (
            page["events"]
            for arn in executions
            for page in states.get_paginator("get_execution_history").paginate(executionArn=arn)
        )
        return run.seconds, sum(_transitions(events) for events in pages)


def _transitions(events: Iterable[Mapping[str, Any]]) -> int:
    return sum(event["type"].endswith("StateEntered") for event in events)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
