"""Measures whole local runs by number of rows, and the share of the command line, for ``make bench``."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from local import synthetic_census as sample
from tests.local.memory import Memory

ROOT = Path(__file__).parents[1]
SIZES = (3_220, 100_000, 300_000, 1_000_000)
_SAMPLE_SECONDS = 0.05

Row = dict[str, Any]


def measure() -> list[Row]:
    """Measure runs by number of rows, and the additional time per row between consecutive sizes.

    The first run synthesizes the stack. The second run, of the same size, finds it synthesized and is the warm run.
    """
    with tempfile.TemporaryDirectory() as directory:
        files = {rows: Path(directory, f"census-{rows}.csv") for rows in SIZES}
        for rows, path in files.items():
            sample.write(path, rows=rows)
        (ROOT / "cdk.out" / ".fingerprint").unlink(missing_ok=True)
        first, warm = run(files[SIZES[0]]), run(files[SIZES[0]])
        sized = {SIZES[0]: warm, **{rows: run(files[rows]) for rows in SIZES[1:]}}
    return [*_commands(first, warm), *_runs(sized), *_slopes(sized)]


def _commands(first: Row, warm: Row) -> list[Row]:
    rows = []
    for name, run in (("first run, synth from nothing", first), ("warm run", warm)):
        seconds = run["seconds"]
        rows.append(
            {
                "name": name,
                "reference": "its execution alone",
                "rows": SIZES[0],
                "seconds": seconds["total"],
                "reference_seconds": seconds["execution"],
                "ratio": round(seconds["execution"] / seconds["total"], 2),
                "peak_rss_mb": run["peak_rss_mb"],
                "parts": {part: taken for part, taken in seconds.items() if part != "total"},
            }
        )
    return rows


def _runs(sized: dict[int, Row]) -> list[Row]:
    smallest = sized[SIZES[0]]["seconds"]["execution"]
    return [
        {
            "name": f"execution, {size:,} rows",
            "reference": f"{SIZES[0]:,} rows' seconds a row",
            "rows": size,
            "seconds": run["seconds"]["execution"],
            "reference_seconds": round(smallest * size / SIZES[0], 3),
            "ratio": round(smallest * size / SIZES[0] / run["seconds"]["execution"], 2),
            "mb_per_s": round(run["bytes"] / run["seconds"]["execution"] / 1e6, 1),
            "peak_rss_mb": run["peak_rss_mb"],
            "peak_process": run["peak_process"],
            "parts": {step["name"]: step["seconds"] for step in run["steps"]},
            "whole_command_seconds": run["seconds"]["total"],
        }
        for size, run in sized.items()
    ]


def _slopes(sized: dict[int, Row]) -> list[Row]:
    """Compare the additional time per row with that between the two previous sizes; 1 means linear growth.

    The first difference is only a reference. Differences exclude the launches, which take the same time for any size.
    """
    slopes = {
        (few, many): (sized[many]["seconds"]["execution"] - sized[few]["seconds"]["execution"]) / (many - few)
        for few, many in pairwise(SIZES)
    }
    return [
        {
            "name": f"a row more, {few:,} to {many:,} rows",
            "reference": f"a row more, {before[0]:,} to {before[1]:,} rows",
            "rows": many - few,
            "seconds": slopes[few, many],
            "reference_seconds": slopes[before],
            "ratio": round(slopes[before] / slopes[few, many], 2),
        }
        for before, (few, many) in pairwise(slopes)
    ]


def run(csv: Path) -> Row:
    """Run one file with the command line, and sample the memory of every process that the command starts.

    Returns
    -------
    Row
        What ``run --json`` prints, and the peak memory of the largest process and of all processes together.

    Raises
    ------
    RuntimeError
        If the run fails.
    """
    out = tempfile.mkdtemp(dir=csv.parent)
    command = [sys.executable, "-m", "local", "run", str(csv), "--out", out, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    peak = _Peak(process.pid)
    with Memory(process.pid) as together:
        answer, _ = process.communicate()
    peak.stop()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {answer}")
    return {
        **json.loads(answer),
        "peak_rss_mb": round(peak.mb, 1),
        "peak_process": peak.process,
        "peak_together_mb": round(together.peak * 2**20 / 1e6),
        "bytes": csv.stat().st_size,
    }


class _Peak:
    """The largest memory of any single process among a process and its descendants."""

    def __init__(self, pid: int) -> None:
        self.mb, self.process = 0.0, ""
        self._root = psutil.Process(pid)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.is_set():
            try:
                family = [self._root, *self._root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            for process in family:
                try:
                    mb = process.memory_info().rss / 1e6
                    if mb > self.mb:
                        self.mb, self.process = mb, " ".join(process.cmdline()[1:])
                except psutil.NoSuchProcess:
                    continue
            time.sleep(_SAMPLE_SECONDS)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
