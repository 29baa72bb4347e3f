"""How much longer a run takes than SageMaker itself: row 6 of ``make bench``.

Jobs and endpoints take the recorded run's 191, 375, 191 and 440 s, and waits what the template says, all in scaled
time. What isn't SageMaker or a Wait state, the functions and the state machine's own calls, takes its real time at any
scale. Two scales tell the two apart: ``total(scale) = scale * scaled + real``, so a run at scale 1 takes
``scaled + real``.
"""

import json
from typing import Any

from bench.execution import execution

SAGEMAKER_SECONDS = 191 + 375 + 191 + 440
SCALES = (0.02, 0.12)
ROWS = 3_220

Row = dict[str, Any]


def measure() -> list[Row]:
    """Measure one run at each scale and say what it would take at scale 1."""
    few, many = (_execution_seconds(scale) for scale in SCALES)
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
            "parts": {"SageMaker and waits": round(scaled, 1), "functions and calls": round(real, 1)},
        }
    ]


def _execution_seconds(scale: float) -> float:
    with execution(wait_scale=scale, pace=f"recorded*{scale}") as (_, run):
        return run.seconds


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
