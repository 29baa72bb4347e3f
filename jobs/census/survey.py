"""The first pass over a census CSV, which finds every problem and the range of each column."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from jobs.census import features
from jobs.census.cells import Cells, Floats, Mask, Numbers
from jobs.census.problems import SHOWN_OF_EACH_KIND, Problem, ProblemList, UnreadableText, shorten
from jobs.census.scaler import ConstantFeature, CorrectedColumn, DroppedRegion, IgnoredColumn, Source
from jobs.census.table import CensusTable, Header

LARGEST_NUMBER = 1e150
"""Larger numbers are refused: the sum of their squares over 10^8 rows would exceed float64, which ends at 1.8e308."""

LOST_POINT_DIVISOR = 10.0
"""The percentages of the American Community Survey have one decimal: without its point, 12.3 becomes 123."""

_FEWEST_FEATURES = 2
_FEWEST_ROWS = 2

_EXPECTED = {
    "not_a_number": "expected a number or an empty cell",
    "infinite": "expected a finite number or an empty cell",
    "too_large": f"expected a number up to {LARGEST_NUMBER:g} or an empty cell",
    "share_above_100": "expected a percentage from 0 to 100",
    "negative": "expected 0 or more: no census measure is negative, and codes such as -666666666 mean a missing value; "
    "leave the cell empty",
}
_HINTS = (
    (
        re.compile(r"(n\.?/?a\.?|nan|null|none|nil|missing|\(x\)|[-.*?\u2013\u2014]+|n|x)", re.IGNORECASE),
        "leave it empty",
    ),
    (re.compile(r"[-+]?[0-9]{1,3}([, '][0-9]{3})+(\.[0-9]*)?"), "write it without thousands separators"),
    (re.compile(r"[-+]?[0-9]*,[0-9]+"), "write it with a decimal point"),
    (re.compile(r"(?=.*[%$€£])[$€£]?\s*[0-9.,]+\s*[%$€£]?"), "write it without the sign"),
)


@dataclass
class Column:
    """A column that may be a feature, as the first pass finds it.

    Attributes
    ----------
    name, index
        The name in the header, and the position in the file.
    minimum, maximum
        Over complete rows, in the unit of the column; infinite if there are no complete rows.
    numbers, texts
        The number of cells that contain a number, and of those that contain other text.
    largest
        The largest number of all rows.
    is_whole
        Whether all numbers are integers.
    findings
        The first hundred problems of each kind.
    totals
        The number of problems of each kind.
    divisor
        What the values must be divided by, because their decimal points were lost.
    """

    name: str
    index: int
    minimum: float = float("inf")
    maximum: float = float("-inf")
    numbers: int = 0
    texts: int = 0
    largest: float = float("-inf")
    is_whole: bool = True
    findings: list[Problem] = field(default_factory=list)
    totals: Counter[str] = field(default_factory=Counter)
    divisor: float = 1.0

    @property
    def has_decimals(self) -> bool:
        """Whether the column is known to be published with one decimal: percentages and mean travel times."""
        feature = features.find(self.name)
        return feature is not None and feature.unit in ("percent", "minutes")

    @property
    def is_share(self) -> bool:
        """Whether the column is known to hold percentages."""
        feature = features.find(self.name)
        return feature is not None and feature.unit == "percent"

    @property
    def is_text(self) -> bool:
        """Whether no cell is a number: the column is a description, not a measure."""
        return self.texts > 0 and self.numbers == 0

    @property
    def is_constant(self) -> bool:
        """Whether all complete rows have the same value."""
        return self.minimum == self.maximum

    def scaled(self, values: Floats) -> Floats:
        """Scale values of this column to the range 0 to 1."""
        scaled: Floats = (values - self.minimum) / (self.maximum - self.minimum)
        return scaled


def any_of(masks: Iterable[Mask | None]) -> Mask | None:
    """Return where any mask is set; ``None`` stands for a mask without a set element."""
    given = [mask for mask in masks if mask is not None]
    return np.logical_or.reduce(given) if given else None


class Survey:
    """The first pass over a table, which finds every problem and collects what the second pass needs.

    Attributes
    ----------
    columns
        The columns that may be features.
    rows_read, rows_kept
        The number of rows in the file, and of those without an empty cell.
    dropped_regions
        The first hundred dropped rows: ``{"row", "id", "name", "empty_columns"}``.
    source
        Facts about the file, such as ``sha256``.
    """

    def __init__(self, table: CensusTable) -> None:
        """Read the whole table; `judge` raises the problems."""
        self._header = table.header
        self.columns = [Column(table.header.names[index], index) for index in table.header.measures]
        self.rows_read = self.rows_kept = 0
        self.dropped_regions: list[DroppedRegion] = []
        self._problems = ProblemList()
        self._empty: Counter[int] = Counter()
        self._read_to_the_end = False
        try:
            for cells in table:
                self._add(cells, table.decimal_mark)
            self._read_to_the_end = True
        except UnreadableText as error:
            self._problems.add(error.problem)
        self.source = Source(
            sha256=table.text.sha256,
            bytes=table.text.size_bytes,
            compression=table.text.compression,
            encoding=table.text.encoding,
            delimiter=table.header.delimiter,
            decimal_mark=table.decimal_mark,
            id_column=table.header.name_of_id,
        )

    def judge(self, minimum_rows: int, components: int | None, *, correct_shares: bool = False) -> list[Column]:
        """Return the features, or refuse the file.

        Parameters
        ----------
        minimum_rows
            The number of complete rows that the clustering needs.
        components
            The number of PCA's components; ``None`` means one fewer than there are features.
        correct_shares
            Whether percentages that lost their decimal points are corrected instead of refused.

        Raises
        ------
        InvalidCensus
            With every problem of the file.
        """
        if self._read_to_the_end:
            self._note_useless_columns()
        self._judge_shares(correct_shares)
        self._note_findings([column for column in self.columns if not column.is_text])
        self._problems.refuse_if_any()
        if self.rows_kept < max(minimum_rows, _FEWEST_ROWS):
            self._problems.add(self._too_few_rows(minimum_rows, f"{minimum_rows} clusters"))
        self._problems.refuse_if_any()
        features = [column for column in self.columns if not column.is_text and not column.is_constant]
        wanted = components or len(features) - 1
        if len(features) < max(_FEWEST_FEATURES, wanted):
            self._problems.add(self._too_few_features(features, components))
        elif self.rows_kept < wanted:
            self._problems.add(self._too_few_rows(wanted, f"{wanted} components"))
        self._problems.refuse_if_any()
        return features

    def constant_features(self) -> list[ConstantFeature]:
        """Return the columns with a single value."""
        return [{"name": c.name, "value": c.minimum / c.divisor} for c in self.columns if c.is_constant]

    def corrected_columns(self) -> list[CorrectedColumn]:
        """Return the columns whose values are divided because their decimal points were lost."""
        return [{"name": c.name, "divided_by": c.divisor} for c in self.columns if c.divisor != 1.0]

    def ignored_columns(self) -> list[IgnoredColumn]:
        """Return the columns that are left out for another reason."""
        ids = [(index, "another identifier") for index in self._header.other_ids]
        texts = [(column.index, "text") for column in self.columns if column.is_text]
        return [{"name": self._name(index), "reason": reason} for index, reason in sorted(ids + texts)]

    def _name(self, index: int) -> str:
        return self._header.names[index]

    def _add(self, cells: Cells, decimal_mark: str) -> None:
        """Add the cells of one block."""
        header = self._header
        for problem in cells.ragged:
            self._problems.add(problem)
        self._problems.count("ragged_row", cells.ragged_rows - len(cells.ragged))
        if not len(cells):
            return
        numbers = {column.index: cells.numbers(column.index, decimal_mark) for column in self.columns}
        empty = {i: numbers[i].empty if i in numbers else cells.empty(i) for i in range(len(header.names))}
        for index, mask in empty.items():
            self._empty[index] += 0 if mask is None else int(np.count_nonzero(mask))
        incomplete = any_of(empty[i] for i in header.named)
        dropped: list[int] = [] if incomplete is None else np.flatnonzero(incomplete).tolist()
        self.rows_read += len(cells)
        self.rows_kept += len(cells) - len(dropped)
        for column in self.columns:
            _add_cells(column, cells, numbers[column.index], incomplete)
        for record in dropped[: SHOWN_OF_EACH_KIND - len(self.dropped_regions)]:
            names = [header.names[i] for i in header.named if (mask := empty[i]) is not None and mask[record]]
            self.dropped_regions.append(_dropped_region(header, cells, record, names))

    def _judge_shares(self, correct: bool) -> None:
        """Correct percentages that lost their decimal points, or add the remedy to their problems.

        If a percentage exceeds 100, none exceeds 1,000, and all of them are integers, the decimal points were lost,
        as happens when a spreadsheet reads them as thousands separators.
        """
        published = [column for column in self.columns if column.has_decimals and column.numbers]
        shares = [column for column in published if column.is_share]
        limit = features.LARGEST_PERCENTAGE
        if not any(column.largest > limit for column in shares):
            return
        lost = all(column.is_whole and column.largest <= limit * LOST_POINT_DIVISOR for column in shares)
        for column in published if lost and correct else []:
            if column.is_whole:
                column.divisor = LOST_POINT_DIVISOR
                del column.totals["share_above_100"]
                column.findings = [finding for finding in column.findings if finding.kind != "share_above_100"]
        if lost and not correct:
            for column in shares:
                column.findings = [_with_correction(finding) for finding in column.findings]

    def _note_useless_columns(self) -> None:
        if not self.rows_read and not self._problems.totals:
            self._problems.add(Problem("no_rows", "there is a header and no row", "expected one row per region"))
        for index, name in enumerate(self._header.names):
            if self.rows_read and name and self._empty[index] == self.rows_read:
                self._problems.add(
                    Problem("empty_column", f"{name} is empty in every row", "delete or fill it", column=name)
                )
            filled = self.rows_read - self._empty[index]
            if not name and filled:
                self._problems.add(
                    Problem(
                        "unnamed_column",
                        f"column {index + 1} has no name, and a value in {filled:,} rows",
                        "name it in the header, or delete it (it may be an index that a program wrote)",
                    )
                )

    def _note_findings(self, columns: list[Column]) -> None:
        findings = sorted((f for column in columns for f in column.findings), key=lambda f: f.row or 0)
        totals = sum((column.totals for column in columns), Counter[str]())
        for kind, total in totals.items():
            shown = [finding for finding in findings if finding.kind == kind][:SHOWN_OF_EACH_KIND]
            for finding in shown:
                self._problems.add(finding)
            self._problems.count(kind, total - len(shown))

    def _too_few_rows(self, needed: int, purpose: str) -> Problem:
        dropped = self.rows_read - self.rows_kept
        cause = ""
        if dropped:
            index, count = self._empty.most_common(1)[0]
            cause = f" ({dropped:,} of {self.rows_read:,} have an empty cell; {self._name(index)} in {count:,})"
        return Problem(
            "too_few_rows",
            f"there {'is 1 complete row' if self.rows_kept == 1 else f'are {self.rows_kept:,} complete rows'}{cause}",
            f"{purpose} need at least {max(needed, _FEWEST_ROWS):,}",
        )

    def _too_few_features(self, features: list[Column], components: int | None) -> Problem:
        names = shorten(", ".join(column.name for column in features)) or "none"
        purpose = "PCA" if components is None else f"{components} components"
        return Problem(
            "too_few_features",
            f"there {'is 1 column' if len(features) == 1 else f'are {len(features)} columns'} "
            f"of numbers that vary ({names})",
            f"{purpose} need at least {max(_FEWEST_FEATURES, components or 0)}",
        )


def _add_cells(column: Column, cells: Cells, numbers: Numbers, incomplete: Mask | None) -> None:
    """Update a column with the cells of one block."""
    values = numbers.values
    empty = 0 if numbers.empty is None else int(np.count_nonzero(numbers.empty))
    texts = 0 if numbers.text is None else int(np.count_nonzero(numbers.text))
    column.texts += texts
    column.numbers += len(cells) - empty - texts
    if numbers.text is not None:
        _note(column, "not_a_number", cells, numbers.text)
    if empty or texts:
        least, most = np.fmin.reduce(values), np.fmax.reduce(values)  # these ignore NaN, and take three times as long
    else:
        least, most = values.min(), values.max()
    column.largest = max(column.largest, float(most))
    if least < 0 or most > LARGEST_NUMBER:
        _note(column, "infinite", cells, np.isinf(values))
        _note(column, "negative", cells, (values < 0) & np.isfinite(values))
        _note(column, "too_large", cells, (values > LARGEST_NUMBER) & np.isfinite(values))
    if column.has_decimals:
        column.is_whole = column.is_whole and bool((np.floor(values) == values)[np.isfinite(values)].all())
    if column.is_share and most > features.LARGEST_PERCENTAGE:
        _note(column, "share_above_100", cells, (values > features.LARGEST_PERCENTAGE) & (values <= LARGEST_NUMBER))
    if incomplete is not None:
        complete = values[~incomplete]
        least, most = complete.min(initial=np.inf), complete.max(initial=-np.inf)
    if not texts:
        column.minimum = min(column.minimum, float(least))
        column.maximum = max(column.maximum, float(most))


def _note(column: Column, kind: str, cells: Cells, where: Mask) -> None:
    """Record a problem of some cells."""
    records = np.flatnonzero(where)
    for record in records[: max(0, SHOWN_OF_EACH_KIND - column.totals[kind])].tolist():
        value = cells.text(column.index, record)
        hint = next((hint for form, hint in _HINTS if form.fullmatch(value)), None) if kind == "not_a_number" else None
        column.findings.append(
            Problem(
                kind,
                f"{column.name} is {shorten(value)!r}",
                _EXPECTED[kind] + (f" ({hint})" if hint else ""),
                int(cells.rows[record]),
                column.name,
                shorten(value),
            )
        )
    column.totals[kind] += len(records)


def _with_correction(finding: Problem) -> Problem:
    if finding.kind != "share_above_100":
        return finding
    return replace(
        finding,
        remedy=f"{finding.remedy}; all percentages of the file seem to have lost their decimal point: "
        "restore it, or set correct_shares to true to divide them by ten",
    )


def _dropped_region(header: Header, cells: Cells, record: int, empty_columns: list[str]) -> DroppedRegion:
    row = int(cells.rows[record])
    state, county = cells.text(header.state, record), cells.text(header.county, record)
    return {
        "row": row,
        "id": str(row) if header.id is None else cells.text(header.id, record),
        "name": "-".join(part for part in (state, county) if part) or f"row {row}",
        "empty_columns": empty_columns,
    }
