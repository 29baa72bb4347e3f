"""Small census files, and a sink in memory, for the tests of Prepare."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from jobs.census.prepare import Prepared, prepare
from jobs.sagemaker import recordio

HEADER = "CensusId,State,County,TotalPop,Income,Poverty"
ROWS = (
    "01001,Alabama,Autauga,55221,51281.0,12.9",
    "01003,Alabama,Baldwin,195121,50254.0,13.4",
    "01005,Alabama,Barbour,26932,32964.0,26.7",
    "01007,Alabama,Bibb,22604,38678.0,16.8",
)


def csv_text(*rows: str, header: str = HEADER) -> str:
    """Return a census CSV; by default four counties of Alabama."""
    return "\n".join([header, *(rows or ROWS)]) + "\n"


class MemorySink:
    """Keeps files in memory; one that is left by an exception doesn't appear."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    @contextmanager
    def open(self, name: str) -> Iterator[io.BytesIO]:
        file = io.BytesIO()
        yield file
        self.files[name] = file.getvalue()

    def matrix(self) -> np.ndarray:
        """Return the rows of all shards."""
        shards = json.loads(self.files["shards.json"])
        return np.concatenate([recordio.decode(self.files[f"train/{shard['part']}.pbr"]) for shard in shards])

    def regions(self) -> list[list[str]]:
        """Return the rows of regions.csv, without its header."""
        text = self.files["regions.csv"].decode()
        return list(csv.reader(io.StringIO(text, newline="")))[1:]

    def scaler(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.files["scaler.json"])
        return document


def prepared(
    content: str | bytes, *, minimum_rows: int = 2, components: int | None = None, correct_shares: bool = False
) -> tuple[Prepared, MemorySink]:
    """Prepare a file given by its content."""
    data = content.encode() if isinstance(content, str) else content
    sink = MemorySink()
    made = prepare(
        lambda: io.BytesIO(data),
        sink,
        minimum_rows=minimum_rows,
        components=components,
        correct_shares=correct_shares,
    )
    return made, sink
