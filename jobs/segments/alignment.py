"""Comparing two labelings of the same rows, whose labels are numbered differently."""

import numpy as np

from jobs.segments.pairing import cheapest_pairs


def contingency(one: np.ndarray, other: np.ndarray, clusters: int) -> np.ndarray:
    """Count the rows for each pair of labels: (k, k), rows by `one`'s label, columns by `other`'s."""
    pairs = np.bincount(one.astype(np.int64) * clusters + other, minlength=clusters**2)
    return pairs.reshape(clusters, clusters)


def align(table: np.ndarray) -> np.ndarray:
    """Match the labels of two labelings so that they agree for as many rows as possible.

    Parameters
    ----------
    table
        (k, k) as `contingency` returns it.

    Returns
    -------
    np.ndarray
        (k,) for each label of the first labeling, the label of the second one that it corresponds to.
    """
    return cheapest_pairs(-table)[1]


def agreement(table: np.ndarray) -> int:
    """Return the number of rows that have the same label in both labelings once these are aligned."""
    return int(table[np.arange(len(table)), align(table)].sum())


def adjusted_rand(table: np.ndarray) -> float:
    """Return the adjusted Rand index of Hubert and Arabie (1985): 1 for equal labelings, about 0 for unrelated ones."""
    rows = table.sum()
    together = _pairs(table).sum()
    by_one, by_other = _pairs(table.sum(axis=1)).sum(), _pairs(table.sum(axis=0)).sum()
    expected = by_one * by_other / max(_pairs(rows), 1)
    highest = (by_one + by_other) / 2
    return float((together - expected) / (highest - expected)) if highest > expected else 1.0


def jaccard(table: np.ndarray) -> np.ndarray:
    """Return the Jaccard coefficient of each label of the first labeling and the most similar one of the second.

    The measure of Hennig (2007), "Cluster-wise assessment of cluster stability": rows that both have, divided by rows
    that either has. NaN for a label without a row.
    """
    either = table.sum(axis=1, keepdims=True) + table.sum(axis=0) - table
    similar = np.divide(table, either, out=np.zeros(table.shape), where=either > 0).max(axis=1)
    return np.where(table.sum(axis=1) > 0, similar, np.nan)


def _pairs(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts, dtype=np.float64)
    pairs: np.ndarray = counts * (counts - 1) / 2
    return pairs
