"""How far each feature's distribution moved from one census file to the next."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from jobs.segments.deciles import FLOAT32_TOLERANCE, bin_shares
from jobs.segments.document import FeatureSummary

PSI_ALARM = 0.25
"""From this population stability index on, a feature's distribution is usually taken to have changed substantially;
below 0.1 it is taken as stable. Siddiqi, "Credit Risk Scorecards" (2006)."""

_SMALLEST_SHARE = 1e-4  # an empty bin would make the index infinite

__all__ = ["PSI_ALARM", "Distribution", "FeatureDrift", "drift"]


@dataclass(frozen=True)
class Distribution:
    """A feature's distribution over a file's rows, in original units.

    Attributes
    ----------
    mean, std, minimum, maximum
        Over all rows.
    edges
        Ascending inner edges of the bins: the distinct deciles.
    shares
        Share (0..1) of the rows in each bin; one more than `edges`. A bin includes its upper edge.
    """

    mean: float
    std: float
    minimum: float
    maximum: float
    edges: tuple[float, ...]
    shares: tuple[float, ...]

    @classmethod
    def of_summary(cls, summary: FeatureSummary) -> Self:
        """Read a feature's entry in segments.json."""
        return cls(
            mean=summary["mean"],
            std=summary["std"],
            minimum=summary["minimum"],
            maximum=summary["maximum"],
            edges=tuple(summary["decile_edges"]),
            shares=tuple(summary["decile_shares"]),
        )


@dataclass(frozen=True)
class FeatureDrift:
    """How a feature moved.

    Attributes
    ----------
    feature, previous_feature
        Its name in the current and in the previous file.
    psi
        Population stability index over the previous file's deciles: the sum of (q - p) ln(q / p) of each bin's share
        before (p) and now (q).
    mean_shift
        Change of the mean, in standard deviations of the previous file's rows.
    beyond_range
        Share (0..1) of the current rows outside the previous file's minimum and maximum.
    alarm
        Whether `psi` reaches `PSI_ALARM`.
    """

    feature: str
    previous_feature: str
    psi: float
    mean_shift: float
    beyond_range: float
    alarm: bool


def drift(
    feature: str, previous_feature: str, previous: Distribution, current: Distribution, values: NDArray[np.floating]
) -> FeatureDrift:
    """Measure how a feature moved; `values` (n,) are the current file's, or an even sample of them."""
    tolerance = FLOAT32_TOLERANCE * (previous.maximum - previous.minimum)
    before = np.maximum(previous.shares, _SMALLEST_SHARE)
    now = np.maximum(bin_shares(values, np.array(previous.edges), tolerance), _SMALLEST_SHARE)
    psi = float(((now - before) * np.log(now / before)).sum())
    beyond = (values < previous.minimum - tolerance) | (values > previous.maximum + tolerance)
    return FeatureDrift(
        feature=feature,
        previous_feature=previous_feature,
        psi=psi,
        mean_shift=(current.mean - previous.mean) / previous.std if previous.std > 0 else 0.0,
        beyond_range=float(beyond.mean()),
        alarm=psi >= PSI_ALARM,
    )
