"""Compares the twins of PCA and k-means with scikit-learn for ``make bench``: ``python -m bench.algorithms``.

The figures are processor seconds, the lowest of three.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from embedded_aws.sagemaker.algorithms import hyperparameters
from embedded_aws.sagemaker.algorithms.kmeans import KMeansTrainer
from embedded_aws.sagemaker.algorithms.pca import PcaSums

ROWS, FEATURES, COMPONENTS, CLUSTERS = 1_000_000, 34, 33, 8
_SHARD_ROWS = 29_000
_REPEATS = 3

Row = dict[str, Any]


def measure() -> list[Row]:
    """Measure each twin on shards, then scikit-learn on the whole matrix in memory, in a process for each algorithm.

    Raises
    ------
    subprocess.CalledProcessError
        If the PCA twin differs from a float64 SVD by more than 1e-6, relative to the largest singular value.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "rows.npy")
        np.save(path, census_like(ROWS))
        commands = ([sys.executable, "-m", "bench.algorithms", algorithm, str(path)] for algorithm in ALGORITHMS)
        return [json.loads(subprocess.run(each, stdout=subprocess.PIPE, check=True).stdout) for each in commands]


def _one(algorithm: str, path: str) -> Row:
    data = np.load(path)
    if algorithm == "kmeans":
        data = np.ascontiguousarray(data[:, :7])
    return ALGORITHMS[algorithm](data, np.array_split(data, -(-ROWS // _SHARD_ROWS)))


def census_like(rows: int) -> np.ndarray:
    """Return float32 rows between 0 and 1 with a few dominant directions, like a scaled census."""
    random = np.random.default_rng(0)
    factors = random.normal(size=(rows, 8)).astype(np.float32)
    loads = random.normal(size=(8, FEATURES)).astype(np.float32) * np.linspace(1, 0.1, 8, dtype=np.float32)[:, None]
    mixed = factors @ loads + 0.2 * random.normal(size=(rows, FEATURES)).astype(np.float32)
    scaled: np.ndarray = ((mixed - mixed.min(axis=0)) / np.ptp(mixed, axis=0)).astype(np.float32)
    return scaled


def _pca(data: np.ndarray, shards: list[np.ndarray]) -> Row:
    def twin() -> Any:
        sums = PcaSums(FEATURES)
        for shard in shards:
            sums.add(shard)
        return sums.solve(COMPONENTS)

    seconds, found = _best(twin)
    rss = _peak_rss_mb()
    centred = data.astype(np.float64)
    centred -= centred.mean(axis=0)
    exact = np.sqrt(np.maximum(np.linalg.eigvalsh(centred.T @ centred), 0))[-COMPONENTS:]
    np.testing.assert_allclose(found.s, exact, rtol=0, atol=1e-6 * exact[-1])
    del centred

    from sklearn.decomposition import PCA  # noqa: PLC0415 - our peak memory is read before it is loaded

    reference, _ = _best(lambda: PCA(COMPONENTS, svd_solver="covariance_eigh").fit(data))
    return _row(
        "PCA twin, float64 over shards",
        "scikit-learn's PCA, float32 in memory",
        data,
        seconds=seconds,
        theirs=reference,
        rss=rss,
    )


def _kmeans(data: np.ndarray, shards: list[np.ndarray]) -> Row:
    settings = hyperparameters.read(hyperparameters.KMEANS, {"feature_dim": "7", "k": str(CLUSTERS)})

    def twin() -> Any:
        trainer = KMeansTrainer(settings, seed=0)
        for shard in shards:
            trainer.add(shard)
        trainer.end_epoch()
        return trainer.finish()

    seconds, _ = _best(twin)
    rss = _peak_rss_mb()

    from sklearn.cluster import KMeans  # noqa: PLC0415

    reference, _ = _best(lambda: KMeans(CLUSTERS, n_init=10, random_state=0).fit(data))
    return _row(
        "KMeans twin, one pass",
        "scikit-learn's KMeans, 10 restarts in memory",
        data,
        seconds=seconds,
        theirs=reference,
        rss=rss,
    )


def _row(name: str, reference: str, data: np.ndarray, *, seconds: float, theirs: float, rss: float) -> Row:
    return {
        "name": name,
        "reference": reference,
        "rows": len(data),
        "seconds": round(seconds, 3),
        "reference_seconds": round(theirs, 3),
        "ratio": round(theirs / seconds, 2),
        "mb_per_s": round(data.nbytes / seconds / 1e6, 1),
        "peak_rss_mb": round(rss, 1),
        "reference_peak_rss_mb": round(_peak_rss_mb(), 1),
    }


def _best(function: Callable[[], Any]) -> tuple[float, Any]:
    best, answer = float("inf"), None
    for _ in range(_REPEATS):
        start = time.process_time()
        answer = function()
        best = min(best, time.process_time() - start)
    return best, answer


def _peak_rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


ALGORITHMS = {"pca": _pca, "kmeans": _kmeans}

if __name__ == "__main__":
    print(json.dumps(_one(*sys.argv[1:]) if len(sys.argv) > 1 else measure(), indent=2))
