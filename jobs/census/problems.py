"""What is wrong with a census CSV, said so that its owner can mend it."""

from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Any

SHOWN_OF_EACH_KIND = 100
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes
    ----------
    kind
        Its class, such as ``not_a_number``; one file can have many problems of one kind.
    message
        The thing and the value: ``row 17: Poverty is 'n/a'``.
    remedy
        What would be right.
    row
        The record's number as a spreadsheet shows it (the header is row 1); ``None`` where the file is meant.
    column
        The header's name of the column; ``None`` where the row or the file is meant.
    value
        What the cell holds, at most 80 characters of it.
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


def shorten(value: str) -> str:
    """Cut a cell to what a message can show."""
    return value if len(value) <= _SHOWN_CHARACTERS else value[: _SHOWN_CHARACTERS - 1] + "…"


class InvalidCensus(Exception):  # noqa: N818 - the workflow's users meet this name as the execution's error
    """The CSV can't be used as it is.

    Attributes
    ----------
    problems
        The first 100 of each kind, by row.
    totals
        How many there are of each kind, shown or not.
    """

    def __init__(self, problems: list[Problem], totals: dict[str, int] | None = None) -> None:
        self.problems = problems
        self.totals = totals or dict(Counter(problem.kind for problem in problems))
        others = sum(self.totals.values()) - 1
        more = "" if others < 1 else f" (and {others:,} more problem{'s' if others > 1 else ''})"
        super().__init__(f"{problems[0]}{more}")

    def __reduce__(self) -> tuple[type["InvalidCensus"], tuple[list[Problem], dict[str, int]]]:
        return type(self), (self.problems, self.totals)

    def as_dict(self) -> dict[str, Any]:
        """Return the content of problems.json."""
        return {
            "summary": str(self),
            "totals": self.totals,
            "problems": [asdict(problem) | {"message": str(problem)} for problem in self.problems],
        }


class UnreadableText(Exception):  # noqa: N818 - it carries a problem, and ends the reading
    """Reading can't go on: what follows this problem would be guessed.

    Attributes
    ----------
    problem
        What is wrong, without its row.
    records
        How many records of the block it was found in lie before it; ``None`` where the whole file is meant.
    """

    def __init__(self, problem: Problem, records: int | None = None) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.records = records

    def in_block(self, first_row: int) -> "UnreadableText":
        """Return this with the problem's row, given the row of the block's first record."""
        if self.records is None:
            return self
        return UnreadableText(replace(self.problem, row=first_row + self.records))


class ProblemList:
    """Collects problems, keeping the first hundred of each kind and counting the rest."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self.totals: dict[str, int] = {}

    def add(self, problem: Problem) -> None:
        """Note one problem."""
        if self.room(problem.kind):
            self._problems.append(problem)
        self.count(problem.kind, 1)

    def count(self, kind: str, more: int) -> None:
        """Count problems that aren't shown."""
        if more:
            self.totals[kind] = self.totals.get(kind, 0) + more

    def room(self, kind: str) -> int:
        """Return how many more of a kind are shown."""
        return max(0, SHOWN_OF_EACH_KIND - self.totals.get(kind, 0))

    def refuse_if_any(self) -> None:
        """Raise what was found.

        Raises
        ------
        InvalidCensus
            When there is at least one problem.
        """
        if self._problems:
            raise InvalidCensus(sorted(self._problems, key=lambda problem: problem.row or 0), self.totals)
