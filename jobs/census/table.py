"""Splits a census CSV into its header and blocks of cells."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from jobs.census.cells import Cells
from jobs.census.problems import InvalidCensus, Problem, ProblemList, UnreadableText, shorten
from jobs.census.text import CensusText

ID_COLUMNS = ("CensusId", "CountyId", "CensusTract", "TractId", "GEOID", "FIPS")
STATE, COUNTY = "State", "County"
MAX_COLUMNS = 2_000
_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Header:
    """The header of the CSV.

    Attributes
    ----------
    names
        One name per column without surrounding blanks; an empty string if a column has no name.
    delimiter
        The separator of cells.
    id, state, county
        The indices of the columns that identify a region; `id` is ``None`` if the row number is the identifier.
    """

    names: list[str]
    delimiter: str
    id: int | None
    state: int
    county: int

    @property
    def region_columns(self) -> list[int | None]:
        """The indices of the columns that are copied to regions.csv."""
        return [self.id, self.state, self.county]

    @property
    def name_of_id(self) -> str | None:
        """The name of the identifier column, or ``None`` if there is none."""
        return None if self.id is None else self.names[self.id]

    @property
    def named(self) -> list[int]:
        """The indices of the columns that have a name."""
        return [index for index, name in enumerate(self.names) if name]

    @property
    def measures(self) -> list[int]:
        """The indices of the columns that may be features."""
        return [i for i in self.named if i not in self.region_columns and i not in self.other_ids]

    @property
    def other_ids(self) -> list[int]:
        """The indices of further identifier columns, such as a FIPS code next to a CensusId."""
        known = {name.lower() for name in ID_COLUMNS}
        return [i for i, name in enumerate(self.names) if name.lower() in known and i != self.id]


class CensusTable:
    """One pass over a census CSV: iterate over its blocks of cells.

    Attributes
    ----------
    text
        The decoded text; its attributes are final after the last block.
    header
        Read from the first record that is not blank.
    decimal_mark
        ``","`` if the numbers of the first block have decimal commas and another character separates the cells,
        otherwise ``"."``.
    """

    def __init__(self, stream: BinaryIO) -> None:
        """Read the header.

        Raises
        ------
        InvalidCensus
            If there is no header, or if it lacks a required column.
        """
        self.text = CensusText(stream)
        self._blocks = iter(self.text)
        self._row = 1
        try:
            block = self._first_block()
            self.header, length = _read_header(block, self._row)
        except UnreadableText as error:
            raise InvalidCensus([error.in_block(self._row).problem]) from error
        self._row += 1
        self._rest = block[length:]
        self.decimal_mark = _decimal_mark(self._rest, self.header.delimiter)

    def __iter__(self) -> Iterator[Cells]:
        """Yield the cells of each block.

        Raises
        ------
        UnreadableText
            If reading cannot continue.
        """
        try:
            for block in chain([self._rest] if self._rest else [], self._blocks):
                cells = Cells(block, self.header.delimiter, len(self.header.names), self._row)
                self._row = cells.next_row
                yield cells
        except UnreadableText as error:
            raise error.in_block(self._row) from error

    def _first_block(self) -> bytes:
        """Return the first block without leading blank lines."""
        for block in self._blocks:
            content = block.lstrip(b"\n")
            self._row += len(block) - len(content)
            if content:
                return content
        raise UnreadableText(
            Problem("empty_file", "the file holds blank lines only", "upload a CSV with a header and rows")
        )


def _read_header(block: bytes, row: int) -> tuple[Header, int]:
    """Return the header and its length in bytes."""
    end = block.index(b"\n") + 1
    while block.count(b'"', 0, end) % 2:
        end = block.index(b"\n", end) + 1
    record = block[:end].decode()
    splits = {delimiter: _split(record, delimiter) for delimiter in _DELIMITERS}
    delimiter = max(splits, key=lambda d: (_has_region(splits[d]), len(splits[d])))
    names = splits[delimiter]
    if not any(names) or (not _has_region(names) and not all(splits.values())):
        raise UnreadableText(
            Problem(
                "header",
                "the header can't be read as CSV",
                'put whole names in quotation marks, and write "" for one inside',
                row=row,
            )
        )
    problems = ProblemList()
    _note_header_problems(names, row, problems)
    problems.refuse_if_any()
    lower = [name.lower() for name in names]
    ids = [lower.index(name.lower()) for name in ID_COLUMNS if name.lower() in lower]
    state, county = lower.index(STATE.lower()), lower.index(COUNTY.lower())
    return Header(names, delimiter, ids[0] if ids else None, state, county), end


def _split(record: str, delimiter: str) -> list[str]:
    try:
        cells = next(csv.reader(io.StringIO(record, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        return []
    return [" ".join(cell.split()) for cell in cells]


def _has_region(names: list[str]) -> bool:
    return {STATE.lower(), COUNTY.lower()} <= {name.lower() for name in names}


def _note_header_problems(names: list[str], row: int, problems: ProblemList) -> None:
    if len(names) > MAX_COLUMNS:
        problems.add(
            Problem("too_many_columns", f"there are {len(names):,} columns", f"expected at most {MAX_COLUMNS:,}", row)
        )
        return
    counts = Counter(name.lower() for name in names if name)
    for required in (STATE, COUNTY):
        if required.lower() not in counts:
            shown = shorten(", ".join(name for name in names if name))
            problems.add(
                Problem(
                    "missing_column",
                    f"there is no column {required} (the header has: {shown})",
                    f"name the column {required}; a census CSV starts with a header",
                    row,
                    required,
                )
            )
    for name, count in counts.items():
        if count > 1:
            shown = next(n for n in names if n.lower() == name)
            problems.add(
                Problem(
                    "duplicate_column",
                    f"{count} columns are named {shown!r}",
                    "give each column a name of its own (upper and lower case don't tell them apart)",
                    row,
                    shown,
                )
            )


def _decimal_mark(block: bytes, delimiter: str) -> str:
    """Return the decimal mark, which is a comma only if the numbers allow no other reading.

    ``12,5`` and ``0,125`` have a decimal comma, but the comma of ``1,234`` may separate thousands. If any number has a
    decimal point, no comma is treated as a decimal mark, and numbers with commas are refused.
    """
    if delimiter == ",":
        return "."
    cell = r'(?:^|[{0}\n"]) *-?{1} *(?=["{0}\n])'
    comma = cell.format(re.escape(delimiter), r"(?:\d*,(?:\d\d?|\d{4,})|0?,\d+|\d{4,},\d+)")
    point = cell.format(re.escape(delimiter), r"\d*\.\d+")
    has_comma, has_point = (re.search(form.encode(), block) for form in (comma, point))
    return "," if has_comma and not has_point else "."
