"""How certain a run's segments are, in words for people who are not statisticians."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jobs.segments.document import KMeansSummary
from jobs.segments.statistics import STABLE

_HIGHLY_STABLE, _RELIABLE = 0.85, 0.6  # the limits that Hennig (2007) gives for the mean Jaccard coefficient


@dataclass(frozen=True)
class CertaintyClass:
    """A range of stabilities: from `least` (0..1) to the next more certain class."""

    least: float
    name: str
    range: str


CLASSES = (
    CertaintyClass(0.99, "Certain", "at least 99 %"),
    CertaintyClass(STABLE, "Fairly certain", "90 to 99 %"),
    CertaintyClass(0.7, "Uncertain", "70 to 90 %"),
    CertaintyClass(0.0, "Between two segments", "less than 70 %"),
)
"""The most certain class first; the last two are the rows that are reported as uncertain."""


def classify(stabilities: ArrayLike) -> NDArray[np.int64]:
    """Return for each stability (n,) the index of its class in `CLASSES`."""
    limits = [one.least for one in CLASSES[:-1]]
    classes: NDArray[np.int64] = (np.asarray(stabilities)[:, None] < limits).sum(axis=1)
    return classes


def stability_in_words(stability: float) -> str:
    """Describe the stability of a segment, its mean Jaccard coefficient (0..1): "high", "moderate" or "low"."""
    if stability >= _HIGHLY_STABLE:
        return "high"
    return "moderate" if stability >= _RELIABLE else "low"


def steadier_sentence(kmeans: KMeansSummary) -> str | None:
    """Recommend a much steadier number of segments in one sentence, if the run found one."""
    index = {point["k"]: point["adjusted_rand"] for point in kmeans["elbow"]}
    k, steadier = kmeans["k"], kmeans["steadier_k"]
    if steadier is None:
        return None
    return (
        f"{steadier} segments are much steadier than {k}: their adjusted Rand index over bootstrap refits is"
        f" {index[steadier]:.2f}, and that of {k} is {index[k]:.2f}"
    )
