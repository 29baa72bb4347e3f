"""Labeled rows: where each lies in component space, and what it is called."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

EXEMPLARS = 8  # nearest and farthest rows that are kept per segment


@dataclass(frozen=True)
class Regions:
    """The names of a shard's rows from regions.csv: one id, state and county per row."""

    ids: Sequence[str]
    states: Sequence[str]
    counties: Sequence[str]


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
    ids, states, counties
        n strings each.
    """

    index: np.ndarray
    labels: np.ndarray
    distances: np.ndarray
    components: np.ndarray
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
        return Rows(
            self.index[chosen],
            self.labels[chosen],
            self.distances[chosen],
            self.components[chosen],
            tuple(self.ids[i] for i in chosen),
            tuple(self.states[i] for i in chosen),
            tuple(self.counties[i] for i in chosen),
        )

    def join(self, other: "Rows") -> "Rows":
        """Return these rows followed by the others."""
        return Rows(
            np.concatenate([self.index, other.index]),
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.distances, other.distances]),
            np.concatenate([self.components, other.components]),
            self.ids + other.ids,
            self.states + other.states,
            self.counties + other.counties,
        )

    def exemplars(self, *, nearest: bool) -> "Rows":
        """Return the rows of each segment that are nearest to its centroid, or farthest from it."""
        sign = 1 if nearest else -1
        order = np.lexsort((self.index, sign * self.distances, self.labels))
        labels = self.labels[order]
        rank = np.arange(len(order)) - np.searchsorted(labels, labels)
        return self.take(order[rank < EXEMPLARS])
