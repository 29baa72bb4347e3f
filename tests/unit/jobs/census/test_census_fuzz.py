"""Thousands of damaged files: each is prepared rightly or refused with reasons, never an unhandled error.

"Rightly" is judged by an oracle that reads the file with Python's csv module and float, a cell at a time.
"""

import csv
import gzip
import io
import json
import random
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.census.prepare import InvalidCensus, Prepared
from tests.unit.jobs.census.census_files import MemorySink, prepared

MUTATED_FILES = 2_000
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


def read_slowly(data: bytes, facts: Mapping[str, object]) -> list[list[str]]:
    """Return the file's cells, one list a record, blank lines as empty lists; knows nothing of how we read it."""
    text = (gzip.decompress(data) if facts["compression"] else data).decode(str(facts["encoding"]))
    text = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    records = csv.reader(io.StringIO(text, newline=""), delimiter=str(facts["delimiter"]), strict=True)
    return [[] if len(record) == 1 and not record[0].strip() else record for record in records]


def check(data: bytes, made: Prepared, sink: MemorySink) -> None:
    """Compare what was prepared with what the oracle reads."""
    records = read_slowly(data, made.source)
    start = next(i for i, record in enumerate(records) if record)
    header = [" ".join(name.split()) for name in records[start]]
    lower = [name.lower() for name in header]
    rows = [(i + 1, record) for i, record in enumerate(records) if i > start and record]
    assert all(len(record) == len(header) for _, record in rows), "a ragged row was prepared"
    assert len(rows) == made.rows_read

    named = [i for i, name in enumerate(header) if name]
    kept = [(row, record) for row, record in rows if all(record[i].strip(" \t\n") for i in named)]
    assert [d["row"] for d in made.dropped_regions] == [row for row, record in rows if (row, record) not in kept][:100]

    id_column = made.source["id_column"]
    expected = []
    for row, record in kept:
        cells = [record[i].replace("\n", " ").strip(" \t") for i in (lower.index("state"), lower.index("county"))]
        own = str(row) if id_column is None else record[header.index(id_column)].replace("\n", " ").strip(" \t")
        expected.append([own, *cells])
    assert sink.regions() == expected

    mark = str(made.source["decimal_mark"])
    figures = np.array([[number(record[header.index(f)], mark) for f in made.features] for _, record in kept])
    assert np.isfinite(figures).all()
    assert (figures >= 0).all()
    low, high = figures.min(axis=0), figures.max(axis=0)
    np.testing.assert_array_equal(sink.matrix(), ((figures - low) / (high - low)).astype(np.float32))


def number(cell: str, decimal_mark: str) -> float:
    cell = cell.strip(" \t\n")
    if decimal_mark == ",":
        assert "." not in cell, f"{cell!r} was read with a decimal comma"
        cell = cell.replace(",", ".")
    assert NUMBER.fullmatch(cell), f"{cell!r} was read as a number"
    return float(cell)


def judge(data: bytes) -> str:
    """Prepare a file, check the outcome, and say which it was."""
    try:
        made, sink = prepared(data)
    except InvalidCensus as refusal:
        return check_refusal(refusal)
    check(data, made, sink)
    return "prepared"


def check_refusal(refusal: InvalidCensus) -> str:
    document = json.loads(json.dumps(refusal.document()))
    assert document["problems"]
    assert all(problem["message"] and problem["remedy"] for problem in document["problems"])
    assert sum(document["totals"].values()) >= len(document["problems"])
    return refusal.problems[0].kind


# --- seeded mutations --------------------------------------------------------------------------------------

BASE = "GEOID,State,County,TotalPop,Income,Poverty,Region\n" + "".join(
    f"{i:05d},{state},{county},{i * 977 % 5000},{i * 31.7:.1f},{i % 40}.{i % 10},South\n"
    for i, (state, county) in enumerate(
        [("Alabama", "Autauga"), ("New Mexico", "Doña Ana"), ("Ohio", '"Clark, OH"'), ("Iowa", "O'Brien")] * 4
    )
)
CELLS = [
    *["", " ", '""', "0", "-0", "-0.0", "1e3", "1E-3", "+5", ".5", "5.", ".", "-", "--1", "1-", "e5", "1e", "inf"],
    *["-inf", "Infinity", "nan", "NA", "n/a", "1,234", '"1,234"', '"12,5"', "12;5", "12,5", "1 2", " 7 ", '" 7 "'],
    *["1_0", "0x1", "-1", "-666666666", "1e308", "1e309", "1e-320", "123456789", "12345678", "12345678.9", "1234567."],
    *["0.1234567", "99999999999999999999", "0." + "1" * 40, "x" * 300, "é", "٣", "\uff15", '"a""b"', '"', '"a\nb"'],
    *["a\rb", "\t", "=1+1", "100%", "$5", "State", "County", "\ufeff", "\u00a0", "\u22125", "1\u00a0000"],
]
BYTES = [
    bytes([b]) for b in (0, 9, 10, 11, 13, 26, 31, 34, 44, 46, 48, 59, 92, 127, 0x81, 0xA0, 0xC3, 0xF1, 0xFE, 0xFF)
]


def change_cell(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    line = rng.randrange(len(lines))
    cells = lines[line].split(",")
    cells[rng.randrange(len(cells))] = rng.choice(CELLS)
    lines[line] = ",".join(cells)
    return "\n".join(lines)


def change_column(text: str, rng: random.Random) -> str:
    lines, column, cell = text.split("\n"), rng.randrange(7), rng.choice(CELLS)
    split = [line.split(",") for line in lines]
    for cells in split[1:]:
        if len(cells) > column and rng.random() < 0.9:
            cells[column] = cell
    return "\n".join(",".join(cells) for cells in split)


def change_lines(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    change: list[Callable[[], object]] = [
        lambda: lines.pop(at),
        lambda: lines.insert(at, lines[rng.randrange(len(lines))]),
        lambda: lines.insert(at, rng.choice(["", "  ", ",", ",,,,,,", "x", ";;;", '"', "\t"])),
        lambda: lines.__setitem__(slice(at, None), []),
        lambda: rng.shuffle(lines),
    ]
    rng.choice(change)()
    return "\n".join(lines)


def change_style(text: str, rng: random.Random) -> str:
    styles: list[Callable[[], str]] = [
        lambda: text.replace("\n", rng.choice(["\r\n", "\r", "\n\n", " \n", "\n\r"])),
        lambda: text.replace(",", rng.choice([";", "\t", "|", ", ", " ,", ":", ",,"])),
        lambda: text.replace(",", ";").replace(".", ","),
        lambda: "\n".join(",".join(f'"{c}"' for c in line.split(",")) for line in text.split("\n")),
        lambda: text.replace("State", rng.choice(["STATE", "state ", "Area", '"State"', ""])),
        lambda: text.replace("GEOID", rng.choice(["fips", "TotalPop", "", "Name", "State"])),
        lambda: text[: rng.randrange(len(text) + 1)],
        lambda: text[rng.randrange(len(text) + 1) :],
        lambda: text * rng.randrange(3),
    ]
    return rng.choice(styles)()


def change_bytes(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    wild = rng.choice(BYTES)
    changes: list[Callable[[], bytes]] = [
        lambda: data[:at] + wild + data[at:],
        lambda: data[:at] + wild + data[at + 1 :],
        lambda: data[:at] + data[at + rng.randrange(1, 9) :],
        lambda: data[:at],
        lambda: gzip.compress(data, mtime=0),
        lambda: gzip.compress(data, mtime=0)[: at or 1],
        lambda: rng.randbytes(rng.randrange(200)),
        lambda: rng.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"PK\x03\x04", b"<html>", b"{"]) + data,
    ]
    return rng.choice(changes)()


def mutated(seed: int) -> bytes:
    rng = random.Random(seed)
    text = BASE
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        text = rng.choice([change_cell, change_cell, change_column, change_lines, change_style])(text, rng)
    encoding = rng.choice(["utf-8"] * 5 + ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
    data = text.encode(encoding, "replace")
    return change_bytes(data, rng) if rng.random() < 0.3 else data


@pytest.mark.slow
def test_a_mutated_file_is_prepared_rightly_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = set()
    for seed in range(MUTATED_FILES):
        # Small blocks, so that records, characters and line ends lie across them.
        monkeypatch.setattr("jobs.census.text.BLOCK_BYTES", random.Random(seed).choice([90, 400, 1 << 20, 1 << 20]))
        try:
            outcomes.add(judge(mutated(seed)))
        except Exception as error:
            error.add_note(f"seed {seed}: {mutated(seed)!r}")
            raise
    expected = {"prepared", "ragged_row", "not_a_number", "infinite", "negative", "encoding", "control_character"}
    expected |= {"empty_file", "missing_column", "duplicate_column", "unnamed_column", "stray_quote", "unclosed_quote"}
    assert expected <= outcomes, "the mutations no longer reach every kind of refusal"


# --- generated tables --------------------------------------------------------------------------------------

figures = st.one_of(
    st.integers(0, 10**12).map(str),
    st.decimals(0, 10**9, allow_nan=False, places=3).map(str),
    st.floats(0, 1e300, allow_subnormal=False).map(repr),
    st.sampled_from(CELLS),
)
names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)


@given(
    rows=st.lists(st.tuples(names, names, figures, figures, figures), min_size=3, max_size=12),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
@settings(max_examples=300, derandomize=True, suppress_health_check=list(HealthCheck))
def test_a_table_written_by_the_csv_module_is_prepared_rightly_or_refused(
    rows: list[list[str]], delimiter: str, quoting: Any, line_end: str, encoding: str
) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=line_end)
    writer.writerow(["State", "County", "a", "b", "c"])
    writer.writerows(rows)
    judge(file.getvalue().encode(encoding))


@given(st.binary(max_size=400))
@settings(max_examples=200, derandomize=True)
def test_any_bytes_are_refused(data: bytes) -> None:
    assert judge(data) != "prepared"
