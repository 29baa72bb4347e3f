"""How alike two clusterings of the same census are when only chance differs."""

import warnings
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from jobs.segments.alignment import adjusted_rand, contingency
from jobs.segments.kmeans import distances

_REFITS = 20  # 190 pairs
_STARTS = 4
_PERCENTILE = 5


def resampling_baseline(sample: NDArray[np.floating], clusters: int, *, seed: int = 0) -> float:
    """Return the adjusted Rand index that 95 of 100 pairs of independent refits reach.

    Each refit clusters as many rows as the sample (n, c) has, drawn from it with replacement, from fresh starts; every
    pair of refits is compared by the labels that it gives to the whole sample. Changes between two censuses below this
    index are more than reseeding and resampling explain.
    """
    from sklearn.cluster import KMeans  # noqa: PLC0415 - a second to import, for runs with a predecessor

    random = np.random.default_rng(seed)
    rows = np.asarray(sample, dtype=np.float64)
    labels = []
    for _ in range(_REFITS):
        drawn = np.unique(random.integers(len(rows), size=len(rows)), return_counts=True)
        model = KMeans(min(clusters, len(drawn[0])), n_init=_STARTS, random_state=int(random.integers(2**31)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # duplicate rows may leave fewer distinct clusters than k
            model.fit(rows[drawn[0]], sample_weight=drawn[1])
        labels.append(distances(rows, model.cluster_centers_).argmin(axis=1))
    scores = [adjusted_rand(contingency(one, other, clusters)) for one, other in combinations(labels, 2)]
    return float(np.percentile(scores, _PERCENTILE))
