"""Groups of neighboring share columns that add up to 100 %, such as the ways to commute."""

from collections.abc import Sequence

import numpy as np

from jobs.segments.wording import Feature, Kind

_FEWEST_PARTS = 3
_TOLERANCE = 3.0  # percentage points, for rounding and a small remainder that has no column


def find_compositions(features: Sequence[Feature], values: np.ndarray) -> list[list[str]]:
    """Find the groups, from left to right, the longest first.

    A group adds up if the sums of its rows have a median within 3 of 100 and a standard deviation below 3.

    Parameters
    ----------
    features
        The d features, in column order.
    values
        (n, d) rows in original units.

    Returns
    -------
    list of list of str
        The feature names of each group; no feature is in two groups.
    """
    groups = []
    start = 0
    while start < len(features):
        stop = start
        while stop < len(features) and features[stop].kind is Kind.SHARE:
            stop += 1
        for end in range(stop, start + _FEWEST_PARTS - 1, -1):
            total = values[:, start:end].sum(axis=1)
            if abs(float(np.median(total)) - 100) <= _TOLERANCE and float(total.std()) < _TOLERANCE:
                groups.append([feature.name for feature in features[start:end]])
                start = end
                break
        else:
            start += 1
    return groups
