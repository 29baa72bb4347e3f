"""Compares each function's memory and duration in a large run with its limits, for ``make bench``.

The memory is that of an interpreter that has imported the handler, plus the largest memory in the REPORT lines, which
is the memory that the function allocated itself.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from bench.execution import execution
from local.stack import Stack

ROOT = Path(__file__).parents[1]
ROWS = 300_000
_REPORT = re.compile(r"\tDuration: (\d+) ms.*\tMax Memory Used: (\d+) MB")
_IMPORT = """
import importlib, psutil, sys
importlib.import_module(sys.argv[1])
print(psutil.Process().memory_info().rss)
"""

Row = dict[str, Any]


class Invocation(NamedTuple):
    """The figures of a REPORT line."""

    seconds: float
    allocated_mb: int


def measure() -> list[Row]:
    """Run one large file, and read the logs of all functions."""
    with execution(ROWS) as (stack, _):
        pages = stack.client("lambda").get_paginator("list_functions").paginate()
        functions = [function for page in pages for function in page["Functions"]]
        reports = {function["FunctionName"]: _reports(stack, function) for function in functions}
    return [_row(function, reports[name]) for function in functions if reports[name := function["FunctionName"]]]


def _reports(stack: Stack, function: Row) -> list[Invocation]:
    group = function["LoggingConfig"]["LogGroup"]
    pages = stack.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    found = (_REPORT.search(event["message"]) for page in pages for event in page["events"])
    return [Invocation(int(report[1]) / 1000, int(report[2])) for report in found if report]


def _row(function: Row, invocations: list[Invocation]) -> Row:
    module = function["Handler"].rpartition(".")[0]
    longest = max(invocation.seconds for invocation in invocations)
    allocated = max(invocation.allocated_mb for invocation in invocations)
    return {
        "name": f"{module}, called {len(invocations)} times",
        "reference": f"what it is given, with {function['MemorySize']:,} MB",
        "rows": ROWS,
        "seconds": longest,
        "reference_seconds": function["Timeout"],
        "ratio": round(function["Timeout"] / longest, 1),
        "peak_rss_mb": round(_import_mb(module) + allocated, 1),
    }


def _import_mb(module: str) -> float:
    command = [sys.executable, "-c", _IMPORT, module]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout) / 1e6


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
