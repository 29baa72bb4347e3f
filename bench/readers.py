"""Compares Prepare with polars, pyarrow's streaming reader and DuckDB doing the same work: ``python -m bench.readers``.

Each reads the CSV, refuses negative and infinite numbers, drops rows with an empty cell, scales every feature to 0..1,
and encodes the shards and the lines of regions.csv. Each runs on one thread in a process of its own, in turn with the
others; the imports are not timed. The libraries are in an environment of their own, `.venv-speed`.
"""

import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SPEED_PYTHON = ROOT / ".venv-speed" / "bin" / "python"
ROWS, ROUNDS = 1_000_000, 5
ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
NAMES = ("CensusTract", "State", "County")

Row = dict[str, Any]


def measure() -> list[Row]:
    """Return a row for each library: the medians of the processor seconds, and the largest peak memory.

    Raises
    ------
    AssertionError
        If a library keeps other rows or scales them to other values.
    """
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory, "census.csv")
        with source.open("wb") as file:
            command = [sys.executable, "-m", "bench.prepare", "generate", str(ROWS)]
            subprocess.run(command, stdout=file, check=True, cwd=ROOT)
        found: dict[str, list[Row]] = {name: [] for name in READERS}
        for _ in range(ROUNDS):
            for name, measured in found.items():
                measured.append(_in_process(name, source))
        _check(found)
        size = source.stat().st_size
    ours = found.pop("ours")
    return [_row(name, ours, theirs, size) for name, theirs in found.items()]


def _in_process(name: str, source: Path) -> Row:
    python = sys.executable if name == "ours" else str(SPEED_PYTHON)
    command = [python, "-m", "bench.readers", name, str(source)]
    done = subprocess.run(command, cwd=ROOT, env=ONE_THREAD, stdout=subprocess.PIPE, text=True, check=True)
    measured: Row = json.loads(done.stdout)
    return measured


def _check(found: dict[str, list[Row]]) -> None:
    """Compare the numbers of kept rows exactly, and the means of the scaled features to float32's precision."""
    expected = found["ours"][0]
    for name, (first, *_) in found.items():
        close = all(abs(a - b) < 1e-6 for a, b in zip(first["means"], expected["means"], strict=True))
        if first["rows"] != expected["rows"] or first["regions"] != expected["regions"] or not close:
            raise AssertionError(f"{name} prepared something else: {first}; expected {expected}")


def _row(name: str, ours: list[Row], theirs: list[Row], size: int) -> Row:
    seconds, reference = (statistics.median(run["seconds"] for run in runs) for runs in (ours, theirs))
    return {
        "name": f"Prepare, {ROWS:,} rows, against {name}",
        "reference": f"{name}, the same work on one thread",
        "rows": ROWS,
        "seconds": round(seconds, 3),
        "reference_seconds": round(reference, 3),
        "ratio": round(reference / seconds, 3),
        "mb_per_s": round(size / seconds / 1e6, 1),
        "peak_rss_mb": round(max(run["peak_rss_mb"] for run in ours), 1),
        "reference_peak_rss_mb": round(max(run["peak_rss_mb"] for run in theirs), 1),
    }


# --- the readers, each in its own process ------------------------------------------------------------------


class Output:
    """Receives what a reader prepared, and keeps only what `_check` compares."""

    def __init__(self) -> None:
        self.rows = self.regions = 0
        self.sums: Any = 0.0

    def add(self, scaled: Any, regions: bytes) -> None:
        """Encode scaled rows (n, d) float32, and take their lines of regions.csv."""
        from jobs.census.prepare import rows_per_shard  # noqa: PLC0415 - loaded before the time is taken
        from jobs.sagemaker import recordio  # noqa: PLC0415

        self.sums = self.sums + scaled.sum(axis=0, dtype="float64")
        self.rows += len(scaled)
        self.regions += len(regions)
        step = rows_per_shard(scaled.shape[1])
        for start in range(0, len(scaled), step):
            recordio.encode(scaled[start : start + step])


def with_prepare(source: str) -> Callable[[Output], None]:
    """Return the product's way."""
    from contextlib import AbstractContextManager, nullcontext  # noqa: PLC0415

    from jobs.census import prepare as census  # noqa: PLC0415

    class Counted:
        """Counts the bytes that are written, and discards them."""

        size = 0

        def write(self, data: bytes) -> None:
            self.size += len(data)

    class Sink:
        """Gives every file a counter."""

        def __init__(self) -> None:
            self.files: dict[str, Counted] = {}

        def open(self, name: str) -> AbstractContextManager[Counted]:
            return nullcontext(self.files.setdefault(name, Counted()))

    def run(output: Output) -> None:
        sink = Sink()
        prepared = census.prepare(lambda: Path(source).open("rb"), sink, minimum_rows=8)  # noqa: SIM115
        output.rows, output.regions = prepared.rows_kept, sink.files["regions.csv"].size - len(b"id,state,county\n")
        output.sums = [mean * prepared.rows_kept for mean in prepared.scaled_mean]

    return run


def with_polars(source: str) -> Callable[[Output], None]:
    """Return polars' way: the table in memory."""
    import polars as pl  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - only in .venv-speed

    def run(output: Output) -> None:
        table = pl.read_csv(source, schema_overrides={NAMES[0]: pl.String}, infer_schema_length=10_000).drop_nulls()
        features = [name for name in table.columns if name not in NAMES]
        figures = table.select(pl.col(features).cast(pl.Float64))
        least, most = figures.min(), figures.max()
        _refuse(least.row(0), most.row(0))
        scaled = figures.select(
            ((pl.col(name) - least[name][0]) / (most[name][0] - least[name][0])).cast(pl.Float32) for name in features
        )
        output.add(scaled.to_numpy(order="c"), table.select(NAMES).write_csv(include_header=False).encode())

    return run


def with_pyarrow(source: str) -> Callable[[Output], None]:
    """Return the way of pyarrow's streaming reader: two passes over record batches."""
    import numpy as np  # noqa: PLC0415
    import pyarrow as pa  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
    import pyarrow.csv as pc  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    header = Path(source).open().readline().strip().split(",")  # noqa: SIM115
    features = [name for name in header if name not in NAMES]
    types = dict.fromkeys(features, pa.float64()) | dict.fromkeys(NAMES, pa.string())

    def complete() -> Iterator[Any]:
        convert = pc.ConvertOptions(column_types=types, strings_can_be_null=True)
        read = pc.ReadOptions(use_threads=False, block_size=1 << 21)
        with pc.open_csv(source, read_options=read, convert_options=convert) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch]).drop_null().combine_chunks()

    def write(output: Output, table: Any, least: Any, span: Any) -> None:
        values = np.column_stack([table[name].to_numpy() for name in features])
        lines = io.BytesIO()
        pc.write_csv(table.select(NAMES), lines, pc.WriteOptions(include_header=False, quoting_style="none"))
        output.add(((values - least) / span).astype(np.float32), lines.getvalue())

    def run(output: Output) -> None:
        _in_two_passes(complete, features, lambda table, least, span: write(output, table, least, span))

    return run


def with_duckdb(source: str) -> Callable[[Output], None]:
    """Return DuckDB's way: two queries over the file."""
    import duckdb  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415
    import pyarrow as pa  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
    import pyarrow.csv as pc  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    connection = duckdb.connect(config={"threads": 1})
    header = Path(source).open().readline().strip().split(",")  # noqa: SIM115
    features = [name for name in header if name not in NAMES]
    types = dict.fromkeys(features, "DOUBLE") | dict.fromkeys(NAMES, "VARCHAR")
    full = " AND ".join(f'"{name}" IS NOT NULL' for name in header)
    table = f"(SELECT * FROM read_csv('{source}', header = true, types = {types}) WHERE {full})"

    def run(output: Output) -> None:
        limits = ", ".join(f'min("{name}"), max("{name}")' for name in features)
        (found,) = connection.sql(f"SELECT {limits} FROM {table}").fetchall()
        least, most = np.array(found[0::2]), np.array(found[1::2])
        _refuse(least.tolist(), most.tolist())
        columns = ", ".join(
            f'(("{name}" - {low!r}) / ({high!r} - {low!r}))::FLOAT AS "{name}"'
            for name, low, high in zip(features, least.tolist(), most.tolist(), strict=True)
        )
        names = ", ".join(f'"{name}"' for name in NAMES)
        reader = connection.sql(f"SELECT {names}, {columns} FROM {table}").to_arrow_reader(100_000)
        for batch in reader:
            lines = io.BytesIO()
            part = pa.Table.from_batches([batch])
            pc.write_csv(part.select(NAMES), lines, pc.WriteOptions(include_header=False, quoting_style="none"))
            output.add(np.column_stack([part[name].to_numpy() for name in features]), lines.getvalue())

    return run


def _in_two_passes(
    read: Callable[[], Iterable[Any]], features: list[str], write: Callable[[Any, Any, Any], None]
) -> None:
    """Find each feature's range in a first pass over tables, and write them in a second one."""
    import numpy as np  # noqa: PLC0415
    from pyarrow import compute  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    ranges = [[compute.min_max(table[name]).as_py() for name in features] for table in read() if len(table)]
    least = np.array([[each["min"] for each in row] for row in ranges]).min(axis=0)
    most = np.array([[each["max"] for each in row] for row in ranges]).max(axis=0)
    _refuse(least.tolist(), most.tolist())
    for table in read():
        write(table, least, most - least)


def _refuse(least: Iterable[float], most: Iterable[float]) -> None:
    if min(least) < 0 or max(most) > 1e150:
        raise ValueError("a number is negative or too large")


READERS = {"ours": with_prepare, "polars": with_polars, "pyarrow": with_pyarrow, "duckdb": with_duckdb}


def _run(name: str, source: str) -> None:
    import jobs.census.prepare  # noqa: F401, PLC0415 - every process has loaded what encodes the shards

    run, output = READERS[name](source), Output()
    start = time.process_time()
    run(output)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    means = [float(total) / output.rows for total in output.sums]
    print(
        json.dumps(
            {"seconds": seconds, "peak_rss_mb": peak, "means": means, "rows": output.rows, "regions": output.regions}
        )
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _run(*sys.argv[1:])
    else:
        print(json.dumps(measure(), indent=2))
