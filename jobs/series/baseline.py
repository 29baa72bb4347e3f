"""How alike two clusterings of the same census are when only chance differs."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from jobs.segments.alignment import adjusted_rand, contingency
from jobs.segments.kmeans import nearest
from jobs.segments.stability import bootstrap

_REFITS = 20  # 190 pairs
_STARTS = 4
_PERCENTILE = 5


def resampling_baseline(sample: NDArray[np.floating], clusters: int, *, seed: int = 0) -> float:
    """Return the adjusted Rand index that 95 of 100 pairs of independent refits reach.

    Each refit clusters as many rows as the sample (n, c) has, drawn from it with replacement, from fresh starts; every
    pair of refits is compared by the labels that it gives to the whole sample. Changes between two censuses below this
    index are more than reseeding and resampling explain.
    """
    labels = [
        nearest(sample, centroids)[0]
        for (centroids,) in bootstrap(sample, [clusters], refits=_REFITS, starts=_STARTS, seed=seed)
    ]
    scores = [adjusted_rand(contingency(one, other, clusters)) for one, other in combinations(labels, 2)]
    return float(np.percentile(scores, _PERCENTILE))
