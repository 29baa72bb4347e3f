"""A whole local run by size, and the command line's own share: rows 5 and 7 of ``make bench``."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
SIZES = (3_220, 100_000, 1_000_000)
_SAMPLE_SECONDS = 0.05

Row = dict[str, Any]


def measure() -> list[Row]:
    """Measure runs of 3 k, 100 k and 1 M rows; seconds a row are compared with those of the size before.

    The first run's synth starts from nothing; the second, of the same size, finds it done: that is the warm run.
    """
    with tempfile.TemporaryDirectory() as directory:
        files = {rows: _sample(rows, Path(directory)) for rows in SIZES}
        (ROOT / "cdk.out" / ".fingerprint").unlink(missing_ok=True)
        first, warm = _run(files[SIZES[0]]), _run(files[SIZES[0]])
        sized = {SIZES[0]: warm, **{rows: _run(files[rows]) for rows in SIZES[1:]}}
    return [*_commands(first, warm), *_runs(sized)]


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
    rows, before = [], None
    for size, run in sized.items():
        seconds = run["seconds"]["execution"]
        reference = seconds if before is None else before[1] * size / before[0]
        rows.append(
            {
                "name": f"execution, {size:,} rows",
                "reference": "itself" if before is None else f"{before[0]:,} rows, scaled to as many",
                "rows": size,
                "seconds": seconds,
                "reference_seconds": round(reference, 3),
                "ratio": round(reference / seconds, 2),
                "mb_per_s": round(run["bytes"] / seconds / 1e6, 1),
                "peak_rss_mb": run["peak_rss_mb"],
                "parts": {step["name"]: step["seconds"] for step in run["steps"]},
                "whole_command_seconds": run["seconds"]["total"],
            }
        )
        before = (size, seconds)
    return rows


def _sample(rows: int, directory: Path) -> Path:
    path = directory / f"census-{rows}.csv"
    command = [sys.executable, "-m", "local", "sample", "--rows", str(rows), "--out", str(path)]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return path


def _run(csv: Path) -> Row:
    """Run one file, sampling the memory of every process that the command starts."""
    out = tempfile.mkdtemp(dir=csv.parent)
    command = [sys.executable, "-m", "local", "run", str(csv), "--out", out, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    peak = _Peak(process.pid)
    answer, _ = process.communicate()
    peak.stop()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {answer}")
    return {**json.loads(answer), "peak_rss_mb": round(peak.mb, 1), "bytes": csv.stat().st_size}


class _Peak:
    """The largest memory that any one process below another has had."""

    def __init__(self, pid: int) -> None:
        self.mb = 0.0
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
                    self.mb = max(self.mb, process.memory_info().rss / 1e6)
                except psutil.NoSuchProcess:
                    continue
            time.sleep(_SAMPLE_SECONDS)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
