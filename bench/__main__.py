"""Measure everything as ratios to references that are measured in the same run: ``make bench``.

Prints a table, compares it with the previous results in ``bench/last.json``, and replaces those. A ratio of 2 means
twice as fast as the reference; the timeline's ratio is the duration of a run divided by the time that SageMaker takes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
LAST = ROOT / "bench" / "last.json"
CONFORMANCE_PYTHON = ROOT / ".venv-conformance" / "bin" / "python"
# Each runs in its own process, so that memory and imports of others do not affect it.
MODULES = {
    "formats": str(CONFORMANCE_PYTHON),
    "prepare": sys.executable,
    "algorithms": sys.executable,
    "whole_run": sys.executable,
    "functions": sys.executable,
    "forks": sys.executable,
    "timeline": sys.executable,
    "first_contact": sys.executable,
}

Row = dict[str, Any]


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(MODULES)}; all by default.")] = None,
) -> None:
    """Measure, print, compare with the last time, and keep."""
    unknown = set(names or ()) - MODULES.keys()
    if unknown:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}; expected some of {', '.join(MODULES)}")
    last: dict[str, Row] = json.loads(LAST.read_text()) if LAST.exists() else {}
    measured: dict[str, Row] = {}
    console = Console() if sys.stdout.isatty() else Console(width=200)
    for name in names or MODULES:
        console.print(f"measuring {name} …", style="dim")
        measured |= {row["name"]: row for row in _measure(name)}
    console.print(_table(measured, last))
    if any("parts" in row for row in measured.values()):
        console.print(_parts(measured))
    LAST.write_text(json.dumps(last | measured, indent=2) + "\n")
    console.print(f"written to {LAST.relative_to(ROOT)}")


def _measure(name: str) -> list[Row]:
    command = [MODULES[name], "-m", f"bench.{name}"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, env=dict(os.environ))
    rows: list[Row] = json.loads(done.stdout)
    return rows


def _table(measured: dict[str, Row], last: dict[str, Row]) -> Table:
    table = Table("what", "against", title="ratios against a reference measured in the same run")
    for heading in ("rows", "seconds", "reference s", "ratio", "last ratio", "MB/s", "peak MB"):
        table.add_column(heading, justify="right")
    for name, row in measured.items():
        table.add_row(
            name,
            row["reference"],
            f"{row['rows']:,}",
            f"{row['seconds']:.4g}",
            f"{row['reference_seconds']:.4g}",
            f"{row['ratio']:.4g}",
            f"{last[name]['ratio']:.4g}" if name in last else "",
            *(f"{row[key]:,.0f}" if key in row else "" for key in ("mb_per_s", "peak_rss_mb")),
        )
    return table


def _parts(measured: dict[str, Row]) -> Table:
    table = Table("what", "part", title="where the time goes; parts overlap where they run side by side")
    for heading in ("seconds", "share"):
        table.add_column(heading, justify="right")
    for name, row in measured.items():
        for part, seconds in row.get("parts", {}).items():
            table.add_row(name, part, f"{seconds:.2f}", f"{seconds / row['seconds']:.0%}")
    return table


if __name__ == "__main__":
    typer.run(main)
