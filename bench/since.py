"""Compares a run of a million rows with the same run in an earlier version: ``python -m bench.since [revision]``.

Both versions run the same number of rows with the same packages and one after the other, this version twice: with
almost no bootstrap refits, so that its other steps can be compared, and as it is. Every process is limited to 16 GiB of
address space. The table shows the seconds of the execution, the peak memory of each function and of the largest
process, and the seconds that all calls of Label, Publish and Project took together.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
VERSION_1 = "12f8554"
"""The last commit of version 1.0, which neither refined centroids nor measured stability."""

_FEWEST_REFITS = 2
_ADDRESS_SPACE = 16 * 2**30
_NOT_COPIED = shutil.ignore_patterns(
    ".*", "__pycache__", "build", "dist", "cdk.out", "node_modules", "vendor", "results", "out"
)
_OF_ALL_ROWS = ("label", "publish", "project")  # functions whose time grows with the rows, besides Prepare
# Runs in the folder of a version and uses only what both versions have, such as private names of bench.functions.
_PROBE = """
import json, sys, threading, time
import psutil
from bench import functions
from bench.execution import execution

peak, ended = 0, threading.Event()
def watch():
    global peak
    while not ended.wait(0.05):
        for process in psutil.Process().children(recursive=True):
            try:
                peak = max(peak, process.memory_info().rss)
            except psutil.NoSuchProcess:
                pass
threading.Thread(target=watch).start()
try:
    with execution(int(sys.argv[1])) as (stack, run):
        pages = stack.client("lambda").get_paginator("list_functions").paginate()
        found = [function for page in pages for function in page["Functions"]]
        reports = {function["Handler"]: functions._reports(stack, function) for function in found}
        rows = {function["Handler"]: functions._row(function, reports[function["Handler"]])
                for function in found if reports[function["Handler"]]}
finally:
    ended.set()
print(json.dumps({
    "seconds": run.seconds,
    "largest_mb": peak / 1e6,
    "functions": {name.split(".")[1]: {"mb": row["peak_rss_mb"], "longest": row["seconds"],
                                       "all": sum(each.seconds for each in reports[name])}
                  for name, row in rows.items()},
}))
"""


def main(
    revision: Annotated[str, typer.Argument(help="The commit to compare with.")] = VERSION_1,
    rows: Annotated[int, typer.Option(help="Number of rows of the synthetic census.")] = 1_000_000,
) -> None:
    """Measure, and print the table."""
    console = Console() if sys.stdout.isatty() else Console(width=120)
    with tempfile.TemporaryDirectory() as directory:
        before, without, now = (Path(directory, name) for name in ("before", "without", "now"))
        _extract(revision, before)
        for folder in (without, now):
            shutil.copytree(ROOT, folder, ignore=_NOT_COPIED)
        _set(without, {"stability_refits": _FEWEST_REFITS})
        measured = []
        for folder in (before, without, now):
            console.print(f"measuring {folder.name} …", style="dim")
            measured.append(_measure(folder, rows))
    console.print(_table(revision, rows, *measured))


def _extract(revision: str, folder: Path) -> None:
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")


def _set(folder: Path, settings: Mapping[str, Any]) -> None:
    """Change settings of the copy."""
    path = folder / "cdk.json"
    document = json.loads(path.read_text())
    document["context"]["segmentation"] |= settings
    path.write_text(json.dumps(document))


def _measure(folder: Path, rows: int) -> dict[str, Any]:
    """Run a census of so many rows with the code in a folder; return what the probe printed."""
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    subprocess.run(["node", "jobs/report/vendor.mjs"], cwd=folder, check=True)
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, str(rows)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE)),
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _table(revision: str, rows: int, before: dict[str, Any], without: dict[str, Any], now: dict[str, Any]) -> Table:
    table = Table("what", title=f"{rows:,} rows, compared with {revision}")
    for heading in ("before", f"now, {_FEWEST_REFITS} refits", "ratio", "now", "ratio"):
        table.add_column(heading, justify="right")

    def line(name: str, values: list[float | None]) -> None:
        first = values[0]
        cells = [f"{first:,.1f}" if first is not None else ""]
        for value in values[1:]:
            cells.append(f"{value:,.1f}" if value is not None else "")
            cells.append(f"{value / first:.2f}" if value is not None and first else "")
        table.add_row(name, *cells)

    versions = (before, without, now)
    line("execution, seconds", [each["seconds"] for each in versions])
    line("largest process, MB", [each["largest_mb"] for each in versions])
    for name in sorted(set().union(*(each["functions"] for each in versions))):
        found = [each["functions"].get(name) for each in versions]
        line(f"{name}, MB", [each["mb"] if each else None for each in found])
        line(f"{name}, longest call, seconds", [each["longest"] if each else None for each in found])
    sums = [sum(each["functions"][name]["all"] for name in _OF_ALL_ROWS) for each in versions]
    line(f"all calls of {', '.join(_OF_ALL_ROWS)}, seconds", sums)
    return table


if __name__ == "__main__":
    typer.run(main)
