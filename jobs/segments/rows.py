"""Labeled rows: where each lies in component space, and what it is called."""

import csv
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

EXEMPLARS = 8  # nearest and farthest rows that are kept per segment
BORDER_ROWS = 5  # rows with the smallest margin that are kept per pair of segments

NUMBERS = ("index", "labels", "distances", "components", "runners_up", "margins", "stabilities", "previous_labels")


@dataclass(frozen=True)
class Regions:
    """The names of rows.

    Attributes
    ----------
    lines
        For each row its line of regions.csv in UTF-8, without the line feed: id, state and county, quoted as CSV. Most
        lines are only copied, so a line is parsed when its names are asked for.
    """

    lines: tuple[bytes, ...]

    @classmethod
    def read(cls, text: bytes) -> Self:
        """Read whole lines of regions.csv, without its header; Prepare writes each region on one line."""
        return cls(tuple(text.split(b"\n")[:-1]))

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, chosen: np.ndarray) -> "Regions":
        """Return the names of the rows at these positions, in that order."""
        return Regions(tuple(self.lines[position] for position in chosen.tolist()))

    @cached_property
    def columns(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """The ids, the states and the counties."""
        cells = list(csv.reader(line.decode() for line in self.lines))
        ids, states, counties = zip(*cells, strict=True) if cells else ((), (), ())
        return ids, states, counties


@dataclass(frozen=True)
class Certainty:
    """How certain the labels of rows are.

    Attributes
    ----------
    runners_up
        (n,) the index of the second nearest centroid.
    margins
        (n,) (d2 - d1) / (d1 + d2) of the distances to the own centroid and to the runner-up's: 0 on the border of two
        segments, 1 on a centroid.
    stabilities
        (n,) the share of bootstrap refits in which the row keeps its label.
    """

    runners_up: np.ndarray
    margins: np.ndarray
    stabilities: np.ndarray


@dataclass(frozen=True)
class Rows:
    """Labeled rows: where each lies in component space and what it is called.

    Attributes
    ----------
    index
        (n,) number of the row in the run, from 0.
    labels
        (n,) index of its centroid in the artifact.
    distances
        (n,) Euclidean distance to that centroid.
    components
        (n, c) kept components, largest first.
    runners_up, margins, stabilities
        (n,) each, as `Certainty` has them.
    previous_labels
        (n,) number, within the series, of the segment that the previous run's model assigns it to; -1 without one.
    regions
        The names of the rows.
    """

    index: np.ndarray
    labels: np.ndarray
    distances: np.ndarray
    components: np.ndarray
    runners_up: np.ndarray
    margins: np.ndarray
    stabilities: np.ndarray
    previous_labels: np.ndarray
    regions: Regions

    def __len__(self) -> int:
        return len(self.index)

    @property
    def ids(self) -> tuple[str, ...]:
        """The id of each row."""
        return self.regions.columns[0]

    @property
    def states(self) -> tuple[str, ...]:
        """The state of each row."""
        return self.regions.columns[1]

    @property
    def counties(self) -> tuple[str, ...]:
        """The county of each row."""
        return self.regions.columns[2]

    @property
    def names(self) -> list[str]:
        """State-County of each row."""
        return [f"{state}-{county}" for state, county in zip(self.states, self.counties, strict=True)]

    def take(self, chosen: np.ndarray) -> "Rows":
        """Return the rows at these positions, in that order."""
        columns: dict[str, Any] = {column: getattr(self, column)[chosen] for column in NUMBERS}
        return Rows(**columns, regions=self.regions.take(chosen))

    def join(self, other: "Rows") -> "Rows":
        """Return these rows followed by the others."""
        columns: dict[str, Any] = {
            column: np.concatenate([getattr(self, column), getattr(other, column)]) for column in NUMBERS
        }
        return Rows(**columns, regions=Regions(self.regions.lines + other.regions.lines))

    def exemplars(self, *, nearest: bool) -> "Rows":
        """Return the rows of each segment that are nearest to its centroid, or farthest from it."""
        return self._first_of(self.labels, self.distances if nearest else -self.distances, EXEMPLARS)

    def on_borders(self) -> "Rows":
        """Return the rows between each pair of segments with the smallest margins."""
        one, other = np.minimum(self.labels, self.runners_up), np.maximum(self.labels, self.runners_up)
        pairs = one * (int(other.max(initial=0)) + 1) + other
        return self._first_of(pairs, self.margins, BORDER_ROWS)

    def _first_of(self, groups: np.ndarray, ranked_by: np.ndarray, count: int) -> "Rows":
        """Return the `count` rows of each group that come first in the ranking."""
        found = np.concatenate(
            [_lowest(ranked_by, np.flatnonzero(groups == group), count) for group in np.unique(groups)]
        )
        order = found[np.lexsort((self.index[found], ranked_by[found], groups[found]))]
        ordered = groups[order]
        rank = np.arange(len(order)) - np.searchsorted(ordered, ordered)
        return self.take(order[rank < count])


def _lowest(values: np.ndarray, positions: np.ndarray, count: int) -> np.ndarray:
    """Return those of the positions that have one of the `count` lowest values, more than `count` if some are equal."""
    if len(positions) <= count:
        return positions
    own = values[positions]
    lowest: np.ndarray = positions[own <= np.partition(own, count - 1)[count - 1]]
    return lowest
