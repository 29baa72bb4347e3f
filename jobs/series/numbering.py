"""Numbers a run's segments like those of the run before it, where they are the same segments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.segments.pairing import cheapest_pairs

SAME_SEGMENT = 0.5
"""Centroids further apart than this are different segments: root mean square over the features, in standard deviations
of the previous file's rows. Half a standard deviation is also what makes a trait of a segment."""

__all__ = ["SAME_SEGMENT", "Numbering", "number_segments"]


@dataclass(frozen=True)
class Numbering:
    """The numbers of a run's segments within its series.

    Attributes
    ----------
    numbers
        (k,) number of the segment of each centroid.
    distances
        For each number that both runs have, how far its centroid moved, in standard deviations.
    """

    numbers: NDArray[np.intp]
    distances: Mapping[int, float]


def number_segments(
    previous: NDArray[np.float64],
    current: NDArray[np.float64],
    *,
    previous_numbers: Sequence[int],
    spread: NDArray[np.float64],
    next_number: int,
) -> Numbering:
    """Give the same number to the same segment, and a number never used before to a new one.

    Parameters
    ----------
    previous, current
        (k1, d) and (k, d) centroids in the original units of the features that both files have.
    previous_numbers
        k1 numbers of the previous run's segments.
    spread
        (d,) standard deviations of the features over the previous file's rows; features without any are left out.
    next_number
        The first number that no run of the series has used.

    Notes
    -----
    The pairs have the lowest sum of distances; pairs further apart than `SAME_SEGMENT` are then separated. Distances
    beyond twice that count alike, so that one hopeless pair does not pull good ones apart.
    """
    varying = spread > 0
    apart = (current[:, None, varying] - previous[None, :, varying]) / spread[varying]
    distance = np.sqrt((apart**2).mean(axis=2)) if varying.any() else np.full((len(current), len(previous)), np.inf)
    numbers = np.full(len(current), -1, dtype=np.intp)
    distances = {}
    for own, other in zip(*cheapest_pairs(np.minimum(distance, 2 * SAME_SEGMENT)), strict=True):
        if distance[own, other] <= SAME_SEGMENT:
            numbers[own] = previous_numbers[other]
            distances[int(previous_numbers[other])] = float(distance[own, other])
    unnumbered = np.flatnonzero(numbers < 0)
    numbers[unnumbered] = next_number + np.arange(len(unnumbered))
    return Numbering(numbers, distances)
