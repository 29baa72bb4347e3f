"""A feature's distribution in bins of a tenth of the rows each."""

import numpy as np
from numpy.typing import NDArray

_DECILES = np.arange(10, 100, 10)

FLOAT32_TOLERANCE = 1e-6
"""Values scaled to float32 come back from 0..1 with an error of about 1e-7 of their range."""


def decile_edges(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the distinct deciles of values (n,), ascending: the inner edges of at most ten bins."""
    edges: NDArray[np.float64] = np.unique(np.percentile(values, _DECILES))
    return edges


def bin_shares(values: NDArray[np.floating], edges: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    """Return the share (0..1) of values (n,) in each bin, one more than `edges`.

    A bin includes its upper edge. Many census values are equal to an edge, and values that were scaled to float32 come
    back with an error: one that exceeds an edge by no more than `tolerance` counts as equal to it.
    """
    bins = np.searchsorted(edges + tolerance, values, side="left")
    shares: NDArray[np.float64] = np.bincount(bins, minlength=len(edges) + 1) / max(len(values), 1)
    return shares
