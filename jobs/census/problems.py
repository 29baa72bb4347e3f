"""Problems of a census CSV, described so that its owner can fix them."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import TypedDict

SHOWN_OF_EACH_KIND = 100
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes
    ----------
    kind
        The kind of problem, such as ``not_a_number``; a file can have many problems of one kind.
    message
        What is wrong and the value: ``Poverty is 'n/a'``.
    remedy
        What is expected, or how to fix the problem.
    row
        The number of the record as a spreadsheet shows it: the header is row 1. ``None`` if the whole file is
        affected.
    column
        The column's name in the header; ``None`` if a whole row or the whole file is affected.
    value
        The first 80 characters of the cell.
    """

    kind: str
    message: str
    remedy: str
    row: int | None = None
    column: str | None = None
    value: str | None = None

    def __str__(self) -> str:
        place = "" if self.row is None else f"row {self.row}: "
        return f"{place}{self.message}; {self.remedy}"

    def listed(self) -> "ListedProblem":
        """Return the problem as problems.json lists it."""
        return ListedProblem(
            kind=self.kind,
            message=str(self),
            remedy=self.remedy,
            row=self.row,
            column=self.column,
            value=self.value,
        )


def shorten(value: str) -> str:
    """Shorten a cell to the length that a message shows."""
    return value if len(value) <= _SHOWN_CHARACTERS else value[: _SHOWN_CHARACTERS - 1] + "…"


class ListedProblem(TypedDict):
    """A `Problem` in problems.json; `message` also names the row and the remedy."""

    kind: str
    message: str
    remedy: str
    row: int | None
    column: str | None
    value: str | None


class ProblemsDocument(TypedDict):
    """The content of problems.json; `totals` is the number of problems of each kind, listed or not."""

    summary: str
    totals: dict[str, int]
    problems: list[ListedProblem]


class InvalidCensus(Exception):  # noqa: N818 - users see this name as the error of the execution
    """The CSV cannot be used as it is.

    Attributes
    ----------
    problems
        The first 100 of each kind, in the order of the rows.
    totals
        The number of problems of each kind.
    """

    def __init__(self, problems: list[Problem], totals: dict[str, int] | None = None) -> None:
        self.problems = problems
        self.totals = totals or dict(Counter(problem.kind for problem in problems))
        others = sum(self.totals.values()) - 1
        more = "" if others < 1 else f" (and {others:,} more problem{'s' if others > 1 else ''})"
        super().__init__(f"{problems[0]}{more}")

    def __reduce__(self) -> tuple[type["InvalidCensus"], tuple[list[Problem], dict[str, int]]]:
        return type(self), (self.problems, self.totals)

    def document(self) -> ProblemsDocument:
        """Return the content of problems.json."""
        return ProblemsDocument(
            summary=str(self), totals=self.totals, problems=[problem.listed() for problem in self.problems]
        )


class UnreadableText(Exception):  # noqa: N818 - not an error of the program
    """Reading cannot continue, because what follows this problem would be a guess.

    Attributes
    ----------
    problem
        The problem, without its row.
    records
        The number of records before it in the block where it was found; ``None`` if the whole file is affected.
    """

    def __init__(self, problem: Problem, records: int | None = None) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.records = records

    def in_block(self, first_row: int) -> "UnreadableText":
        """Return the same exception with the row of the problem, given the row of the block's first record."""
        if self.records is None:
            return self
        return UnreadableText(replace(self.problem, row=first_row + self.records))


class ProblemList:
    """Collects problems: keeps the first hundred of each kind, and counts the rest."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self.totals: dict[str, int] = {}

    def add(self, problem: Problem) -> None:
        """Add one problem."""
        if self.room(problem.kind):
            self._problems.append(problem)
        self.count(problem.kind, 1)

    def count(self, kind: str, more: int) -> None:
        """Count problems that are not shown."""
        if more:
            self.totals[kind] = self.totals.get(kind, 0) + more

    def room(self, kind: str) -> int:
        """Return how many more problems of a kind are kept."""
        return max(0, SHOWN_OF_EACH_KIND - self.totals.get(kind, 0))

    def refuse_if_any(self) -> None:
        """Raise the problems that were found.

        Raises
        ------
        InvalidCensus
            If there is at least one problem.
        """
        if self._problems:
            raise InvalidCensus(sorted(self._problems, key=lambda problem: problem.row or 0), self.totals)
