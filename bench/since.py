"""Compares this version with an earlier one: ``python -m bench.since [revision]``.

It runs parts of ``make bench`` with the code of one version and of the other by turns. It prints every figure that both
versions measure, and each step of their largest run. Both use the packages that are installed for this version.
"""

import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from statistics import mean
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench import report
from bench.__main__ import ROOT, TIMES, Row, measure_part

VERSION_1 = "12f8554"
"""The last commit of version 1.0, which neither refined centroids nor measured stability."""

PARTS = ("formats", "prepare", "algorithms", "whole_run", "functions")
"""The parts that version 1.0 has too, except the timeline, which has SageMaker's pace."""

_LARGEST_RUN = "execution, 1,000,000 rows"
_STEPS_OF_ALL_ROWS = ("Project", "Label", "Publish")  # their time grows with the rows, as that of Prepare does
_INSTALLED = (".venv-conformance", "node_modules")


def main(
    revision: Annotated[str, typer.Argument(help="The commit to compare with.")] = VERSION_1,
    parts: Annotated[list[str] | None, typer.Option("--part", help=f"Of {', '.join(PARTS)}; all by default.")] = None,
) -> None:
    """Measure, and print the table."""
    console = Console() if sys.stdout.isatty() else Console(width=120)
    table = Table("what", title=f"this version, compared with {revision}")
    for heading in ("seconds before", "now", "ratio", "peak MB before", "now"):
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory() as directory:
        before = Path(directory)
        _extract(revision, before)
        for part in parts or PARTS:
            found: dict[Path, dict[str, list[Row]]] = {before: defaultdict(list), ROOT: defaultdict(list)}
            for folder in [*found] * TIMES:
                console.print(f"measuring {part} in {folder} …", style="dim")
                for row in _with_steps(measure_part(part, folder)):
                    found[folder][row["name"]].append(row)
            for name in [name for name in found[ROOT] if name in found[before]]:
                table.add_row(name, *_cells(found[before][name], found[ROOT][name]))
    console.print(table)


def _extract(revision: str, folder: Path) -> None:
    """Write the files of a revision, with what is installed for this version."""
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    for name in _INSTALLED:
        (folder / name).symlink_to(ROOT / name)
    subprocess.run(["node", "jobs/report/vendor.mjs"], cwd=folder, check=True)


def _with_steps(rows: list[Row]) -> Iterator[Row]:
    """Yield rows, and after that of the largest run the seconds of each of its steps."""
    for row in rows:
        yield row
        if row["name"] == _LARGEST_RUN:
            steps = row["parts"]
            steps[", ".join(_STEPS_OF_ALL_ROWS)] = sum(steps[name] for name in _STEPS_OF_ALL_ROWS)
            yield from ({"name": f"{row['name']}: {step}", "seconds": seconds} for step, seconds in steps.items())


def _cells(before: list[Row], now: list[Row]) -> list[str]:
    seconds = [mean(row["seconds"] for row in rows) for rows in (before, now)]
    memory = [max((row["peak_rss_mb"] for row in rows if "peak_rss_mb" in row), default=None) for rows in (before, now)]
    ratio = seconds[1] / seconds[0] if seconds[0] else None
    return [report.number(figure) for figure in (*seconds, ratio, *memory)]


if __name__ == "__main__":
    typer.run(main)
