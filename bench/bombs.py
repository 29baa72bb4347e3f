"""Measure what hostile files cost Prepare: ``python -m bench.bombs`` prints a Markdown table.

Each file is small to upload, and is large, malformed or misleading when it is read. Prepare reads each in a process of
its own, which gets less memory than the function has.
"""

import gzip
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
ADDRESS_SPACE: Final = 1 << 30
"""Bytes of memory that Prepare may reserve here; its function has 1,769 MB."""
SECONDS: Final = 60
MINIMUM_ROWS: Final = 8
MEGABYTE: Final = 1 << 20
WIDEST: Final = 2_000
"""The number of columns that Prepare accepts."""


@dataclass(frozen=True)
class Bomb:
    """One hostile file: a start, followed by the same bytes many times.

    Attributes
    ----------
    name
        What the file is.
    start
        The first bytes of the file.
    verdict
        The message that the sender receives, or the number of rows that Prepare accepts.
    repeated, times
        The bytes that follow `start`, and how many times they are repeated.
    """

    name: str
    start: bytes
    verdict: str
    repeated: bytes = b""
    times: int = 0

    @property
    def size(self) -> int:
        """The number of bytes that Prepare would read if it read the whole file."""
        return len(self.start) + len(self.repeated) * self.times

    def write(self, directory: Path) -> Path:
        """Write the file, compressed with gzip, and return its path."""
        path = directory / "bomb.csv.gz"
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(self.start)
            for _ in range(self.times):
                file.write(self.repeated)
        return path


@dataclass(frozen=True)
class Outcome:
    """The result of one measurement.

    Attributes
    ----------
    uploaded
        The size of the compressed file, in bytes.
    seconds
        The processor time of Prepare, which on an idle machine is the time that it takes.
    peak_mb
        The largest resident memory of the process, in MB, including Python and NumPy.
    verdict
        See :class:`Bomb`.
    """

    uploaded: int
    seconds: float
    peak_mb: float
    verdict: str


def _header(columns: int) -> bytes:
    return b"State,County," + b",".join(b"c%d" % number for number in range(columns - 2)) + b"\n"


def _wide_rows(columns: int) -> bytes:
    """Return about a megabyte of valid rows."""
    rows = (
        b",".join(b"%d" % ((row + column) % 10) for column in range(columns - 2))
        for row in range(MEGABYTE // (2 * columns))
    )
    return b"".join(b"A,B," + row + b"\n" for row in rows)


def _counties(header: str, *rows: str) -> bytes:
    lines = (f"{number},A,County {number},{row}" for number, row in enumerate(rows, start=1))
    return "\n".join([f"CensusId,State,County,{header}", *lines, ""]).encode()


_TOO_LONG: Final = "the line is longer than 1,048,576 bytes; save the table as CSV and upload that"

BOMBS: Final = (
    Bomb("one gigabyte of zeros", b"", f"row 1: {_TOO_LONG}", bytes(MEGABYTE), 1024),
    Bomb("an endless line", b"CensusId,State,County,Income\n", f"row 2: {_TOO_LONG}", b"1" * MEGABYTE, 1024),
    Bomb(
        "2,001 columns",
        _header(WIDEST + 1),
        "row 1: there are 2,001 columns; expected at most 2,000",
        b"1\n" * (MEGABYTE // 2),
        1024,
    ),
    Bomb("2,000 columns, which are accepted", _header(WIDEST), "accepted: 4,192 rows", _wide_rows(WIDEST), 16),
    Bomb(
        "a cell of 1e308",
        _counties("TotalPop,Income", "1e308,1", *(f"{row},{row * row}" for row in range(2, 12))),
        "row 2: TotalPop is '1e308'; expected a number up to 1e+150 or an empty cell",
    ),
    Bomb(
        "percentages from 0 to 1000",
        _counties("TotalPop,Poverty", *(f"{row * row},{row * 100}" for row in range(11))),
        "row 4: Poverty is '200'; expected a percentage from 0 to 100; all percentages of the file seem to have lost "
        "their decimal point: restore it, or set correct_shares to true to divide them by ten (and 8 more problems)",
    ),
)
"""The files, from the largest."""


def measure(bomb: Bomb) -> Outcome:
    """Prepare one file in a process of its own.

    Raises
    ------
    subprocess.CalledProcessError
        If the process ends in any other way than by accepting or refusing the file, such as for lack of memory.
    subprocess.TimeoutExpired
        If it takes more than :data:`SECONDS`.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = bomb.write(Path(directory))
        done = subprocess.run(
            [sys.executable, "-m", "bench.bombs", str(path)],
            cwd=ROOT,
            env={"OPENBLAS_NUM_THREADS": "1"},  # more threads would reserve more memory
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=SECONDS,
        )
        return Outcome(uploaded=path.stat().st_size, **json.loads(done.stdout))


class _Discard:
    """A sink that keeps nothing."""

    def open(self, _name: str) -> AbstractContextManager["_Discard"]:
        return nullcontext(self)

    def write(self, data: bytes) -> None:
        pass


def _prepare(path: Path) -> None:
    """Prepare a file in this process, and print the outcome as JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    from jobs.census.prepare import InvalidCensus, prepare  # noqa: PLC0415 - after the limit

    start = time.process_time()
    try:
        accepted = prepare(lambda: path.open("rb"), _Discard(), minimum_rows=MINIMUM_ROWS)
        verdict = f"accepted: {accepted.rows_kept:,} rows"
    except InvalidCensus as refusal:
        verdict = str(refusal)
    seconds = time.process_time() - start
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb, "verdict": verdict}))


def _table() -> str:
    version = subprocess.run(
        ["git", "log", "-1", "--format=%h", "--", "jobs/census"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    lines = [
        f"{platform.system()} on {platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()},"
        f" {date.today().isoformat()}; Prepare as of commit {version or 'unknown'}.",
        "",
        "| file | bytes uploaded | bytes uncompressed | seconds | peak MB | message to the sender |",
        "| --- | --: | --: | --: | --: | --- |",
    ]
    for bomb in BOMBS:
        outcome = measure(bomb)
        figures = f"{outcome.uploaded:,} | {bomb.size:,} | {outcome.seconds:.2f} | {outcome.peak_mb:.0f}"
        lines.append(f"| {bomb.name} | {figures} | {outcome.verdict} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _prepare(Path(sys.argv[1]))
    else:
        print(_table())
