"""Labeled rows: where each lies in component space, and what it is called."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

EXEMPLARS = 8  # nearest and farthest rows that are kept per segment
BORDER_ROWS = 5  # rows with the smallest margin that are kept per pair of segments

NUMBERS = ("index", "labels", "distances", "components", "runners_up", "margins", "stabilities")
NAMES = ("ids", "states", "counties")


@dataclass(frozen=True)
class Regions:
    """The names of a shard's rows from regions.csv: one id, state and county per row."""

    ids: Sequence[str]
    states: Sequence[str]
    counties: Sequence[str]


@dataclass(frozen=True)
class Certainty:
    """How certain the labels of rows are.

    Attributes
    ----------
    runners_up
        (n,) the label of the second nearest centroid.
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
        (n,) label of its segment.
    distances
        (n,) Euclidean distance to the centroid of its segment.
    components
        (n, c) kept components, largest first.
    runners_up, margins, stabilities
        (n,) each, as `Certainty` has them.
    ids, states, counties
        n strings each.
    """

    index: np.ndarray
    labels: np.ndarray
    distances: np.ndarray
    components: np.ndarray
    runners_up: np.ndarray
    margins: np.ndarray
    stabilities: np.ndarray
    ids: tuple[str, ...]
    states: tuple[str, ...]
    counties: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.index)

    @property
    def names(self) -> list[str]:
        """State-County of each row."""
        return [f"{state}-{county}" for state, county in zip(self.states, self.counties, strict=True)]

    def take(self, chosen: np.ndarray) -> "Rows":
        """Return the rows at these positions, in that order."""
        columns: dict[str, Any] = {column: getattr(self, column)[chosen] for column in NUMBERS}
        columns |= {column: tuple(getattr(self, column)[i] for i in chosen) for column in NAMES}
        return Rows(**columns)

    def join(self, other: "Rows") -> "Rows":
        """Return these rows followed by the others."""
        columns: dict[str, Any] = {
            column: np.concatenate([getattr(self, column), getattr(other, column)]) for column in NUMBERS
        }
        columns |= {column: getattr(self, column) + getattr(other, column) for column in NAMES}
        return Rows(**columns)

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
        order = np.lexsort((self.index, ranked_by, groups))
        ordered = groups[order]
        rank = np.arange(len(order)) - np.searchsorted(ordered, ordered)
        return self.take(order[rank < count])
