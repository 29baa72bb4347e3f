"""Measure everything, and write the table of docs/performance.md: ``make bench``.

Each part runs in a process of its own, so that memory and imports of others do not affect it, and on one thread. It
runs twice: a figure is the mean of both, and its noise is the difference between them. A figure that is worse than
the last one of the same machine by more than the noise of both is reported. ``bench/last.json`` keeps the last results.
"""

import json
import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench import report

ROOT = Path(__file__).parents[1]
LAST = ROOT / "bench" / "last.json"
DOCUMENT = ROOT / "docs" / "performance.md"
CONFORMANCE_PYTHON = str(ROOT / ".venv-conformance" / "bin" / "python")
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


TIMES = 2
PARTS = (
    "formats",
    "readers",
    "prepare",
    "algorithms",
    "certainty",
    "whole_run",
    "large",
    "functions",
    "forks",
    "help",
    "timeline",
    "first_contact",
)

Row = dict[str, Any]


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(PARTS)}; all by default.")] = None,
) -> None:
    """Measure, print, compare with the last time, and keep; without names also write docs/performance.md.

    The exit code is 1 if a part could not be measured.
    """
    unknown = set(names or ()) - set(PARTS)
    if unknown:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}; expected some of {', '.join(PARTS)}")
    console = Console() if sys.stdout.isatty() else Console(width=200)
    last = json.loads(LAST.read_text()) if LAST.exists() else {}
    before: dict[str, Row] = last.get("rows", {}) if last.get("machine") == machine() else {}
    measured: dict[str, Row] = {}
    failed: list[str] = []
    for name in names or PARTS:
        try:
            runs = []
            for _ in range(TIMES):
                console.print(f"measuring {name} …", style="dim")
                runs.append(measure_part(name, ROOT))
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            console.print(f"{name} could not be measured: {error}", style="red")
            failed.append(name)
            continue
        measured |= {row["name"]: row for row in report.merged(runs, part=name)}
    console.print(_table(measured, before))
    if any("parts" in row for row in measured.values()):
        console.print(_shares(measured))
    for sentence in report.worse(measured, before):
        console.print(sentence, style="yellow")
    rows = before | measured
    LAST.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")
    console.print(f"written to {LAST.relative_to(ROOT)}")
    if not names:
        head = f"{machine()}; {date.today().isoformat()}; commit {_commit()}."
        report.write(DOCUMENT, head, list(measured.values()), failed)
        console.print(f"written to {DOCUMENT.relative_to(ROOT)}")
    raise typer.Exit(1 if failed else 0)


def machine() -> str:
    """Describe the machine and the Python that measure."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{platform.system()} on {platform.machine()}, {os.cpu_count()} processors, {memory:.0f} GB of memory, "
        f"Python {platform.python_version()}"
    )


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def measure_part(name: str, folder: Path) -> list[Row]:
    """Run a part with the code in a folder, and return what it prints.

    Raises
    ------
    subprocess.CalledProcessError
        If the part fails.
    FileNotFoundError
        If the environment that the part needs is not installed.
    """
    # The formats are compared with MXNet and the SageMaker SDK.
    python = CONFORMANCE_PYTHON if name == "formats" else sys.executable
    command = [python, "-m", f"bench.{name}"]
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | ONE_THREAD
    )
    rows: list[Row] = json.loads(done.stdout)
    return rows


def _table(measured: dict[str, Row], before: dict[str, Row]) -> Table:
    table = Table("what", *report.HEADINGS[1:], "last ratio")
    for name, row in measured.items():
        table.add_row(*report.cells(row), report.number(before.get(name, {}).get("ratio")))
    return table


def _shares(measured: dict[str, Row]) -> Table:
    table = Table("what", "part", title="where the time goes; parts overlap where they run side by side")
    for heading in ("seconds", "share"):
        table.add_column(heading, justify="right")
    for name, row in measured.items():
        for part, seconds in row.get("parts", {}).items():
            table.add_row(name, part, f"{seconds:.2f}", f"{seconds / row['seconds']:.0%}")
    return table


if __name__ == "__main__":
    typer.run(main)
