"""Compares the time that ``census --help`` takes with a bare start of Python, for ``make bench``."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
STARTS = 15

Row = dict[str, Any]


def measure() -> list[Row]:
    """Start both in turn, and return the medians."""
    commands = {"help": ["-m", "local", "--help"], "bare": ["-c", "pass"]}
    found: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(STARTS):
        for name, arguments in commands.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
            found[name].append(time.perf_counter() - start)
    seconds, bare = (statistics.median(found[name]) for name in commands)
    return [
        {
            "name": "--help",
            "reference": "python -c pass",
            "rows": 1,
            "seconds": round(seconds, 4),
            "reference_seconds": round(bare, 4),
            "ratio": round(bare / seconds, 4),
        }
    ]


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
