"""Compares Prepare with the notebook's method for ``make bench``: ``python -m bench.prepare`` prints a JSON list.

The notebook reads with pandas, drops incomplete rows, scales with scikit-learn's MinMaxScaler and encodes with the
SageMaker SDK, one row at a time. The SDK is only in the conformance environment, so each part runs in its own process.
The start of the process and the imports are not timed.
"""

import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

ROOT = Path(__file__).parents[1]
CONFORMANCE_PYTHON = ROOT / ".venv-conformance" / "bin" / "python"
SIZES = {3_220: 7, 100_000: 5, 1_000_000: 3}
"""Numbers of rows of the compared files, and how often our code is run on each."""
STREAMED = (1_000_000, 10_000_000)
"""Numbers of rows that are generated while they are read, to compare memory use."""
CLUSTERS = 8

Row = dict[str, Any]


def measure() -> list[Row]:
    """Measure Prepare and the notebook's method on the same synthetic files, and Prepare's memory on larger ones.

    Returns
    -------
    list
        One row per size: ``name``, ``reference``, ``rows``, ``seconds`` (our median), ``reference_seconds``, ``ratio``
        of the two, ``mb_per_s`` (10^6 bytes of CSV per second, both passes together), ``peak_rss_mb`` (of our
        process), ``cpu_ratio`` (the ratio of processor seconds, which other work on the machine does not affect). The
        last row compares ten million rows with one million: its reference is ten times the seconds of the latter, and
        ``rss_ratio`` is the quotient of the peak memories.

    Raises
    ------
    AssertionError
        If the results differ from those of the notebook's method.
    """
    with tempfile.TemporaryDirectory() as directory:
        return [*(_compared(rows, Path(directory)) for rows in SIZES), _streamed()]


def _compared(rows: int, directory: Path) -> Row:
    source, ours_matrix, their_matrix = (directory / name for name in ("census.csv", "ours.npy", "theirs.npy"))
    with source.open("wb") as file:
        subprocess.run(
            [sys.executable, "-m", "bench.prepare", "generate", str(rows)], stdout=file, check=True, cwd=ROOT
        )
    ours = _in_process(sys.executable, "ours", source, SIZES[rows], ours_matrix)
    theirs = _in_process(sys.executable, "notebook", source, their_matrix)
    encoding = _in_process(CONFORMANCE_PYTHON, "sdk", their_matrix)
    their_peak = max(theirs["peak_rss_mb"], encoding["peak_rss_mb"])
    theirs = {name: theirs[name] + encoding[name] for name in ("seconds", "cpu_seconds")}
    _in_process(sys.executable, "check", ours_matrix, their_matrix)
    return {
        "name": f"prepare, {rows:,} rows",
        "reference": "pandas read_csv, dropna, MinMaxScaler, sagemaker 2's write_numpy_to_dense_tensor",
        "rows": rows,
        "seconds": round(ours["seconds"], 4),
        "reference_seconds": round(theirs["seconds"], 4),
        "ratio": round(theirs["seconds"] / ours["seconds"], 2),
        "mb_per_s": round(source.stat().st_size / ours["seconds"] / 1e6, 1),
        "peak_rss_mb": round(ours["peak_rss_mb"], 1),
        "reference_peak_rss_mb": round(their_peak, 1),
        "cpu_ratio": round(theirs["cpu_seconds"] / ours["cpu_seconds"], 2),
    }


def _streamed() -> Row:
    few, many = (_in_process(sys.executable, "streamed", rows) for rows in STREAMED)
    times = STREAMED[1] // STREAMED[0]
    return {
        "name": f"prepare, {STREAMED[1]:,} rows made on the fly",
        "reference": f"{times} times {STREAMED[0]:,} rows made on the fly",
        "rows": STREAMED[1],
        "seconds": round(many["seconds"], 2),
        "reference_seconds": round(few["seconds"] * times, 2),
        "ratio": round(few["seconds"] * times / many["seconds"], 2),
        "mb_per_s": round(many["bytes"] / many["seconds"] / 1e6, 1),
        "peak_rss_mb": round(many["peak_rss_mb"], 1),
        "rss_ratio": round(many["peak_rss_mb"] / few["peak_rss_mb"], 3),
    }


def _in_process(python: Path | str, part: str, *arguments: object) -> dict[str, Any]:
    """Run one of the parts below in its own process, and return its measurements."""
    command = [str(python), "-m", "bench.prepare", part, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT, text=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


# --- the parts, each in its own process --------------------------------------------------------------------


class _Discard:
    """A sink that stands for S3 and discards everything or, for the check, keeps the shards."""

    def __init__(self, keep: bool = False) -> None:
        self._keep = keep
        self.shards: list[bytes] = []

    @contextmanager
    def open(self, name: str) -> Iterator["_File"]:
        yield _File(self.shards if self._keep and name.startswith("train/") else None)


class _File:
    def __init__(self, kept: list[bytes] | None) -> None:
        self._kept = kept

    def write(self, data: bytes) -> None:
        if self._kept is not None:
            self._kept.append(data)


def ours(source: str, repeats: str, matrix: str) -> dict[str, Any]:
    """Time Prepare without the cost of writing its output, then save the result for the check."""
    import numpy as np  # noqa: PLC0415 - each part imports only what it measures

    from jobs.census import prepare as census  # noqa: PLC0415
    from jobs.sagemaker import recordio  # noqa: PLC0415

    def run(sink: _Discard) -> None:
        census.prepare(lambda: Path(source).open("rb"), sink, minimum_rows=CLUSTERS)  # noqa: SIM115

    runs = [_spent(lambda: run(_Discard())) for _ in range(int(repeats))]
    peak = _peak_rss_mb()
    kept = _Discard(keep=True)
    run(kept)
    np.save(matrix, np.concatenate([recordio.decode(shard) for shard in kept.shards]))
    return {
        "seconds": statistics.median(run.seconds for run in runs),
        "cpu_seconds": statistics.median(run.cpu_seconds for run in runs),
        "peak_rss_mb": peak,
    }


def notebook(source: str, matrix: str) -> dict[str, Any]:
    """Time the notebook's steps before encoding."""
    import numpy as np  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415
    from sklearn.preprocessing import MinMaxScaler  # noqa: PLC0415

    def scaled() -> np.ndarray:
        table = pd.read_csv(source, header=0, delimiter=",").dropna(axis=0)
        table.index = pd.Index(table["State"] + "-" + table["County"])
        figures = table.drop(columns=[table.columns[0], "State", "County"]).astype(float)
        frame = pd.DataFrame(MinMaxScaler().fit_transform(figures), columns=figures.columns, index=figures.index)
        return frame.to_numpy().astype("float32")

    results: list[np.ndarray] = []
    spent = _spent(lambda: results.append(scaled()))
    peak = _peak_rss_mb()
    np.save(matrix, results[0])
    return asdict(spent) | {"peak_rss_mb": peak}


def sdk(matrix: str) -> dict[str, Any]:
    """Time the SDK's encoder, in the conformance environment."""
    import numpy as np  # noqa: PLC0415

    os.environ["SAGEMAKER_SUPPRESS_V2_WARNING"] = "1"
    from sagemaker.amazon.common import write_numpy_to_dense_tensor  # noqa: PLC0415

    values = np.load(matrix)
    return asdict(_spent(lambda: write_numpy_to_dense_tensor(io.BytesIO(), values))) | {"peak_rss_mb": _peak_rss_mb()}


def check(ours_matrix: str, their_matrix: str) -> dict[str, Any]:
    """Check that both results are equal, except for rounding to float32."""
    import numpy as np  # noqa: PLC0415

    np.testing.assert_allclose(np.load(ours_matrix), np.load(their_matrix), rtol=0, atol=2e-7)
    return {}


def streamed(rows: str) -> dict[str, Any]:
    """Time Prepare on rows that another process generates while they are read."""
    from jobs.census import prepare as census  # noqa: PLC0415

    def open_source() -> BinaryIO:
        command = [sys.executable, "-m", "bench.prepare", "generate", rows]
        generator = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        assert generator.stdout is not None
        return generator.stdout  # type: ignore[return-value]

    start = time.perf_counter()
    prepared = census.prepare(open_source, _Discard(), minimum_rows=CLUSTERS)
    seconds = time.perf_counter() - start
    assert prepared.rows_read == int(rows)
    return {"seconds": seconds, "bytes": prepared.source["bytes"], "peak_rss_mb": _peak_rss_mb()}


def generate(rows: str) -> None:
    """Write a synthetic census to standard output."""
    from local import synthetic_census as sample  # noqa: PLC0415

    sys.stdout.buffer.writelines(sample.stream(int(rows)))


@dataclass(frozen=True)
class Spent:
    """Elapsed seconds and processor seconds, which differ if the machine has other work."""

    seconds: float
    cpu_seconds: float


def _spent(function: Callable[[], Any]) -> Spent:
    start, cpu_start = time.perf_counter(), time.process_time()
    function()
    return Spent(time.perf_counter() - start, time.process_time() - cpu_start)


def _peak_rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    parts: dict[str, Callable[..., Any]] = {
        part.__name__: part for part in (ours, notebook, sdk, check, streamed, generate)
    }
    if len(sys.argv) == 1:
        print(json.dumps(measure(), indent=2))
    elif (measured := parts[sys.argv[1]](*sys.argv[2:])) is not None:
        print(json.dumps(measured))
