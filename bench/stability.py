"""Measures how far the labels of one file agree between runs, for each kind of centroids: ``make stability``.

Prints two tables: the figures of the k-means twin beside those of the recorded run, and the agreement of 12 runs with
shuffled rows. A run consists of the twins' PCA and k-means on the real file, and of the product's refinement of the
centroids. Labels are aligned by `jobs.segments.alignment`, except in the last column.
"""

import csv
import json
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from embedded_aws.sagemaker.algorithms import hyperparameters
from embedded_aws.sagemaker.algorithms.kmeans import KMeansResult, KMeansTrainer
from embedded_aws.sagemaker.algorithms.pca import PcaSums
from jobs.segments.alignment import agreement, contingency
from jobs.segments.kmeans import nearest
from jobs.segments.pca import PcaModel
from jobs.segments.refine import fresh_start, refine
from jobs.segments.sampling import Sample
from tests.reference import CENSUS_2015, GOLDEN

RUNS, SEEDS, CLUSTERS, COMPONENTS = 12, 100, 8, 7
RECORDED_SETTINGS = {"epochs": "1", "init_method": "random"}
PRODUCT_SETTINGS = {"epochs": "10", "init_method": "kmeans++"}


@dataclass(frozen=True)
class Labeled:
    """One run's labels (n,), in the order of the file, and the mean squared distance of its rows."""

    labels: np.ndarray
    msd: float


def main() -> None:
    """Print both tables."""
    scaled = read_scaled()
    console = Console()
    console.print(_distributions(components_of(scaled)))
    console.print(_agreements(scaled))


def read_scaled() -> np.ndarray:
    """Return the complete rows of the real file, min-max scaled: (n, 34) float32."""
    with CENSUS_2015.open(newline="", encoding="utf-8-sig") as file:
        rows = [row[3:] for row in list(csv.reader(file))[1:] if all(row)]
    values = np.array(rows, dtype=np.float64)
    scaled: np.ndarray = ((values - values.min(axis=0)) / np.ptp(values, axis=0)).astype(np.float32)
    return scaled


def components_of(scaled: np.ndarray) -> np.ndarray:
    """Return the components (n, 7) float32 that the PCA twin and the product compute and keep for these rows."""
    sums = PcaSums(scaled.shape[1])
    sums.add(scaled)
    found = sums.solve(scaled.shape[1] - 1)
    model = PcaModel.from_arrays(found.s, found.v, found.mean)
    projections = ((scaled - found.mean.astype(np.float64)) @ found.v).astype(np.float32)
    return model.leading_components(projections, COMPONENTS)


def train(components: np.ndarray, seed: int, settings: dict[str, str]) -> KMeansResult:
    """Train the k-means twin."""
    read = hyperparameters.read(
        hyperparameters.KMEANS, {"feature_dim": str(COMPONENTS), "k": str(CLUSTERS), **settings}
    )
    trainer = KMeansTrainer(read, seed)
    for _ in range(read["epochs"]):
        trainer.add(components)
        trainer.end_epoch()
    return trainer.finish()


def run(scaled: np.ndarray, seed: int, settings: dict[str, str], restarts: int | None) -> Labeled:
    """Run the file with rows shuffled by `seed`; without `restarts`, SageMaker's centroids are not refined."""
    order = np.random.default_rng(seed).permutation(len(scaled))
    components = components_of(scaled[order])
    centroids = train(components, seed, settings).centers.astype(np.float64)
    if restarts is not None:
        sample = Sample.of_shard(scaled[order], components, total_rows=len(scaled)).rows
        fresh = fresh_start(sample, CLUSTERS, restarts=restarts)
        centroids = refine(lambda: iter([components]), centroids, fresh, sample).centroids
    labels, squared = nearest(components, centroids.astype(np.float32).astype(np.float64))
    unshuffled = np.empty_like(labels)
    unshuffled[order] = labels
    return Labeled(unshuffled, float(squared.mean()))


def _distributions(components: np.ndarray) -> Table:
    recorded: dict[str, Any] = json.loads(GOLDEN.read_text())["kmeans"]
    results = [train(components, seed, RECORDED_SETTINGS) for seed in range(SEEDS)]
    figures = {
        "mean squared distance of the rows": (
            [float(nearest(components, one.centers.astype(np.float64))[1].mean()) for one in results],
            recorded["mean_squared_distance_of_these_centroids_on_the_data"],
        ),
        "train msd, the score of the shrink stage": ([one.train_msd for one in results], recorded["train_msd"]),
    }
    table = Table("k-means twin", "5 %", "median", "95 %", "recorded", title=f"{SEEDS} seeds, recorded hyperparameters")
    for name, (values, figure) in figures.items():
        table.add_row(name, *(f"{value:.5f}" for value in (*np.percentile(values, [5, 50, 95]), figure)))
    return table


def _agreements(scaled: np.ndarray) -> Table:
    kinds: dict[str, tuple[dict[str, str], int | None]] = {
        "refine: false, 1 epoch and random init, as recorded": (RECORDED_SETTINGS, None),
        "refine: false": (PRODUCT_SETTINGS, None),
        "refine: true, 10 restarts": (PRODUCT_SETTINGS, 10),
        "refine: true": (PRODUCT_SETTINGS, 50),
    }
    headings = ("labels", "mean squared distance", "mean agreement", "worst pair", "worst pair, not aligned")
    table = Table(*headings, title=f"{RUNS} runs of the same file, rows shuffled, all pairs")
    for name, (settings, restarts) in kinds.items():
        runs = [run(scaled, seed, settings, restarts) for seed in range(RUNS)]
        pairs = list(combinations(runs, 2))
        aligned = [agreement(contingency(one.labels, other.labels, CLUSTERS)) / len(scaled) for one, other in pairs]
        equal = [float((one.labels == other.labels).mean()) for one, other in pairs]
        distances = [one.msd for one in runs]
        spread = f"{min(distances):.4f} to {max(distances):.4f}"
        table.add_row(name, spread, f"{np.mean(aligned):.1%}", f"{min(aligned):.1%}", f"{min(equal):.1%}")
    return table


if __name__ == "__main__":
    main()
