"""How the mean of each segment differs from the mean of all rows, feature by feature."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from jobs.segments.scaling import Scaling
from jobs.segments.statistics import SegmentStatistics

_SMALLEST_STD = 1e-12  # scaled units; a feature that varies less is treated as constant


@dataclass(frozen=True)
class Profiles:
    """The profiles of k segments over d features.

    Attributes
    ----------
    mean
        (k, d) means of the segments, original units; an empty segment has the mean of all rows.
    overall_mean, overall_std
        (d,) mean and standard deviation of all rows, original units.
    effect_size
        (k, d) distance of a segment's mean from the mean of all rows, in standard deviations over all rows.
    separation
        (d,) eta squared: the share (0..1) of a feature's variance that lies between segments.
    """

    mean: np.ndarray
    overall_mean: np.ndarray
    overall_std: np.ndarray
    effect_size: np.ndarray
    separation: np.ndarray

    @classmethod
    def of(cls, statistics: SegmentStatistics, scaling: Scaling) -> Self:
        """Compute the profiles from the statistics of all rows."""
        counts = statistics.counts[:, None]
        rows = max(statistics.rows, 1)
        overall_mean = statistics.sums.sum(axis=0) / rows
        variance = np.maximum(statistics.squares.sum(axis=0) / rows - overall_mean**2, 0)
        mean = np.where(counts > 0, statistics.sums / np.maximum(counts, 1), overall_mean)
        difference = mean - overall_mean
        std = np.sqrt(variance)
        varies = std > _SMALLEST_STD
        between = (counts * difference**2).sum(axis=0) / rows
        return cls(
            mean=scaling.inverse_transform(mean),
            overall_mean=scaling.inverse_transform(overall_mean),
            overall_std=std * scaling.range,
            effect_size=np.divide(difference, std, out=np.zeros_like(difference), where=varies),
            separation=np.divide(between, variance, out=np.zeros_like(between), where=varies),
        )
