"""Stability predicts what it claims to: which counties of the real file change their segment from run to run."""

from dataclasses import dataclass

import numpy as np
import pytest

from bench.stability import CLUSTERS, PRODUCT_SETTINGS, components_of, read_scaled, train
from jobs.segments.alignment import align, contingency
from jobs.segments.kmeans import nearest
from jobs.segments.refine import fresh_start, refine
from jobs.segments.sampling import Sample
from jobs.segments.stability import Stability
from tests.reference import needs_census

pytestmark = needs_census

RUNS = 12
FEWER_STARTS = (40, 30, 20, *range(10, 0, -1))
LEAST_DIFFERING = 50
DECILES = 10


@dataclass(frozen=True)
class Prepared:
    """The real file's components (n, 7), its sample, and the labels (n,) and refits of a run with the usual seed."""

    components: np.ndarray
    sample: np.ndarray
    labels: np.ndarray
    stability: Stability

    def labels_of_seed(self, seed: int, restarts: int) -> np.ndarray:
        """Label the rows by a run whose k-means and fresh starts have another seed; aligned with `labels`."""
        sagemaker = train(self.components, seed, PRODUCT_SETTINGS).centers.astype(np.float64)
        fresh = fresh_start(self.sample, CLUSTERS, restarts=restarts, seed=seed)
        centroids = refine(lambda: iter([self.components]), sagemaker, fresh, self.sample).centroids
        found = nearest(self.components, centroids)[0]
        aligned: np.ndarray = np.argsort(align(contingency(self.labels, found, CLUSTERS)))[found]
        return aligned


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    """Give a run of the real file with 200 refits."""
    scaled = read_scaled()
    components = components_of(scaled)
    sample = Sample.of_shard(scaled, components, total_rows=len(scaled)).rows
    fresh = fresh_start(sample, CLUSTERS, restarts=50)
    sagemaker = train(components, 0, PRODUCT_SETTINGS).centers.astype(np.float64)
    centroids = refine(lambda: iter([components]), sagemaker, fresh, sample).centroids
    stability = Stability.of(sample, centroids, refits=200)
    return Prepared(components, sample, nearest(components, centroids)[0], stability)


def stabilities(prepared: Prepared, refits: slice) -> np.ndarray:
    """Return the share (n,) of these refits in which each row keeps its label."""
    found = prepared.stability
    chosen = Stability(found.refits[refits], found.segments, found.adjusted_rand, found.sample_rows)
    return chosen.of_rows(prepared.components, prepared.labels)


def test_counties_that_differ_between_seeds_have_low_stability(prepared: Prepared) -> None:
    first = stabilities(prepared, slice(100))
    for restarts in FEWER_STARTS:
        runs = np.stack([prepared.labels_of_seed(seed, restarts) for seed in range(RUNS)])
        differs = (runs != runs[0]).any(axis=0)
        if differs.sum() >= LEAST_DIFFERING:
            break
    print(
        f"{restarts} restarts: {differs.sum()} counties differ, {(first[differs] < 0.9).mean():.1%} of them below 0.9"
    )
    assert differs.sum() >= LEAST_DIFFERING
    assert (first[differs] < 0.9).mean() >= 0.9
    assert differs[first >= 0.99].mean() <= 0.001


def test_stability_predicts_the_frequency_in_further_refits(prepared: Prepared) -> None:
    first, further = stabilities(prepared, slice(100)), stabilities(prepared, slice(100, 200))
    ranked = np.argsort(first, kind="stable")
    for decile in np.array_split(ranked, DECILES):
        assert further[decile].mean() == pytest.approx(first[decile].mean(), abs=0.05)
