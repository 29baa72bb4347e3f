"""Measures what labeling a million rows takes, refinement and stability included, for ``make bench``.

The figures are processor seconds on one thread, as the functions compute. BLAS reads the number of threads when it is
loaded: ``OPENBLAS_NUM_THREADS=1 python -m bench.certainty`` prints a JSON list.
"""

import json
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.algorithms import census_like
from jobs.segments.assign import nearest_centroids
from jobs.segments.cluster_count import elbow
from jobs.segments.labels import labeled_rows
from jobs.segments.refine import fresh_start, refine
from jobs.segments.rows import Certainty, Regions
from jobs.segments.sampling import Sample
from jobs.segments.scaling import Scaling
from jobs.segments.stability import Stability
from jobs.segments.statistics import SegmentStatistics

ROWS, SHARD_ROWS, CLUSTERS, COMPONENTS = 1_000_000, 29_000, 8, 7
RESTARTS = 50

Row = dict[str, Any]


def measure() -> list[Row]:
    """Measure each part in the order of a run; two are compared with scikit-learn and pandas."""
    prepared = census_like(ROWS)
    components = np.ascontiguousarray(prepared[:, :COMPONENTS])
    starts = range(0, ROWS, SHARD_ROWS)
    shards = [slice(start, start + SHARD_ROWS) for start in starts]
    blocks = [components[shard] for shard in shards]
    rows: list[Row] = []

    def timed(name: str, function: Callable[[], Any]) -> Any:
        found, seconds = _seconds(function)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        rows.append({"name": name, "rows": ROWS, "seconds": round(seconds, 3), "peak_rss_mb": round(peak, 1)})
        return found

    def sample_rows() -> np.ndarray:
        parts = (Sample.of_shard(prepared[shard], components[shard], total_rows=ROWS) for shard in shards)
        return Sample.merge(parts).rows

    sample = timed("sample of all shards", sample_rows)
    fresh = timed(f"{RESTARTS} fresh starts on the sample", lambda: fresh_start(sample, CLUSTERS, restarts=RESTARTS))
    refined = timed("passes over all rows", lambda: refine(lambda: iter(blocks), sample[:CLUSTERS], fresh, sample))
    centroids = refined.centroids
    stability = timed("100 refits of the sample", lambda: Stability.of(sample, centroids))
    timed("curve of k from 5 to 12", lambda: elbow(sample, range(5, 13)))
    assigned = timed("nearest centroids of all rows", lambda: [nearest_centroids(block, centroids) for block in blocks])
    certainty: list[Certainty] = timed(
        "runner-up, margin and stability of all rows",
        lambda: [
            stability.certainty(block, labels, centroids) for block, (labels, _) in zip(blocks, assigned, strict=True)
        ],
    )
    regions = [Regions(tuple(b"%d,Alabama,Autauga" % row for row in range(len(block)))) for block in blocks]
    labeled = list(zip(shards, blocks, assigned, certainty, regions, strict=True))
    timed(
        "statistics of all rows",
        lambda: SegmentStatistics.merge(
            SegmentStatistics.of_shard(
                scaled=prepared[shard],
                components=block,
                labels=labels,
                distances=distances,
                certainty=certain,
                regions=names,
                scaling=_scaling(prepared.shape[1]),
                clusters=CLUSTERS,
                first_row=shard.start,
            )
            for shard, block, (labels, distances), certain, names in labeled
        ),
    )
    timed(
        "lines of labeled_counties.csv",
        lambda: [
            labeled_rows(names, block, labels, distances, certain, numbers=np.arange(CLUSTERS))
            for _, block, (labels, distances), certain, names in labeled
        ],
    )
    by_name = {row["name"]: row for row in rows}
    _compare(by_name[f"{RESTARTS} fresh starts on the sample"], "scikit-learn's KMeans", lambda: _scikit_learn(sample))
    _compare(by_name["lines of labeled_counties.csv"], "pandas' to_csv", lambda: _pandas(labeled))
    return rows


def _seconds(function: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    found = function()
    return found, time.process_time() - start


def _compare(row: Row, reference: str, function: Callable[[], Any]) -> None:
    _, seconds = _seconds(function)
    ratio = round(seconds / row["seconds"], 2)
    row |= {"reference": reference, "reference_seconds": round(seconds, 3), "ratio": ratio}


def _scikit_learn(sample: np.ndarray) -> None:
    from sklearn.cluster import KMeans  # noqa: PLC0415 - our peak memory is read before it is loaded

    KMeans(CLUSTERS, n_init=RESTARTS, random_state=0).fit(sample)


def _pandas(labeled: list[Any]) -> None:
    import pandas as pd  # noqa: PLC0415

    for _, block, (labels, distances), certain, names in labeled:
        ids, states, counties = names.columns
        table = pd.DataFrame(block).assign(label=labels, distance=distances, segment=labels)
        table = table.assign(runner_up=certain.runners_up, margin=certain.margins, stability=certain.stabilities)
        table.insert(0, "id", ids)
        table.insert(1, "state", states)
        table.insert(2, "county", counties)
        table.to_csv(index=False, header=False, float_format="%.9g")


def _scaling(features: int) -> Scaling:
    names = tuple(f"feature {number}" for number in range(features))
    return Scaling(names, np.zeros(features), np.full(features, 100.0), ROWS, 0, ROWS)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
