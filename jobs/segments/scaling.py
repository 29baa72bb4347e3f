"""The scaling that Prepare applied to the features, and its inverse."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from jobs.census.scaler import ConstantFeature, DroppedRegion, Scaler


@dataclass(frozen=True)
class Scaling:
    """How the d features of a run were scaled, and what was left out of the model.

    Attributes
    ----------
    features
        The d feature names, in column order.
    minimum, maximum
        (d,) in original units; scaled 0 is the minimum, scaled 1 the maximum.
    rows_read, rows_dropped, rows_kept
        Counts of the CSV's rows.
    dropped_regions
        The first hundred dropped rows.
    constant_features
        Columns with only one value, which are kept out of the model.
    """

    features: tuple[str, ...]
    minimum: np.ndarray
    maximum: np.ndarray
    rows_read: int
    rows_dropped: int
    rows_kept: int
    dropped_regions: tuple[DroppedRegion, ...] = ()
    constant_features: tuple[ConstantFeature, ...] = ()

    @classmethod
    def of(cls, scaler: Scaler) -> Self:
        """Take what is needed from the content of scaler.json."""
        rows = scaler["rows"]
        return cls(
            features=tuple(scaler["features"]),
            minimum=np.array(scaler["minimum"], dtype=np.float64),
            maximum=np.array(scaler["maximum"], dtype=np.float64),
            rows_read=rows["read"],
            rows_dropped=rows["dropped"],
            rows_kept=rows["kept"],
            dropped_regions=tuple(scaler["dropped_regions"]),
            constant_features=tuple(scaler["constant_features"]),
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read scaler.json."""
        return cls.of(json.loads(text))

    @property
    def range(self) -> np.ndarray:
        """(d,) maximum - minimum."""
        span: np.ndarray = self.maximum - self.minimum
        return span

    def positions(self, features: Iterable[str]) -> list[int]:
        """Return the columns of these features, in their order; a missing feature raises KeyError."""
        column = {name: index for index, name in enumerate(self.features)}
        return [column[name] for name in features]

    def select(self, features: Sequence[str]) -> Self:
        """Return the scaling of these of the features, in this order."""
        order = self.positions(features)
        return replace(self, features=tuple(features), minimum=self.minimum[order], maximum=self.maximum[order])

    def inverse_transform(self, scaled: np.ndarray) -> np.ndarray:
        """Convert scaled features (..., d) back to original units."""
        values: np.ndarray = scaled * self.range + self.minimum
        return values
