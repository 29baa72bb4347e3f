"""Small uploads that expand to very large files: each is refused within a limited amount of memory."""

import gzip
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ADDRESS_SPACE = 1 << 30
"""Bytes; the functions have at least this much memory."""

PREPARE = """
import sys
from jobs.census.prepare import InvalidCensus, prepare
try:
    prepare(lambda: open(sys.argv[1], "rb"), None, minimum_rows=8)
except InvalidCensus as refusal:
    print(refusal)
"""


def gzip_of(path: Path, start: bytes, megabyte: bytes) -> Path:
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(1024):
            file.write(megabyte)
    return path


@pytest.mark.parametrize(
    ("start", "megabyte", "message"),
    [
        (b"", bytes(1 << 20), "row 1: the line is longer than 1,048,576 bytes; save the table as CSV and upload that"),
        (
            b"CensusId,State,County,Income\n",
            b"1" * (1 << 20),
            "row 2: the line is longer than 1,048,576 bytes; save the table as CSV and upload that",
        ),
        (
            b"State,County," + b",".join(b"c%d" % number for number in range(1999)) + b"\n",
            b"1\n" * (1 << 19),
            "row 1: there are 2,001 columns; expected at most 2,000",
        ),
    ],
    ids=["one gigabyte of zeros", "an endless line", "2,001 columns"],
)
def test_a_bomb_is_refused_within_a_gigabyte(tmp_path: Path, start: bytes, megabyte: bytes, message: str) -> None:
    bomb = gzip_of(tmp_path / "bomb.csv.gz", start, megabyte)
    done = subprocess.run(
        [sys.executable, "-c", PREPARE, str(bomb)],
        env={"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[4])},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE)),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout.strip(), done.returncode) == (message, 0), done.stderr
