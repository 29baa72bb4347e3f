"""Measures Refine and Stability for a million rows: ``python -m bench.certainty`` prints a table."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.algorithms import census_like
from jobs.segments.cluster_count import elbow
from jobs.segments.kmeans import nearest
from jobs.segments.refine import fresh_start, refine
from jobs.segments.sampling import Sample
from jobs.segments.stability import Stability

ROWS, SHARD_ROWS, CLUSTERS, COMPONENTS = 1_000_000, 29_000, 8, 7
RESTARTS = 50


def main() -> None:
    """Measure each part in the order of a run, and print its duration in seconds."""
    prepared = census_like(ROWS)
    components = np.ascontiguousarray(prepared[:, :COMPONENTS])
    shards = [slice(start, start + SHARD_ROWS) for start in range(0, ROWS, SHARD_ROWS)]
    blocks = [components[shard] for shard in shards]
    table = Table("part", "seconds", title=f"{ROWS:,} rows, {CLUSTERS} clusters")

    def timed(part: str, function: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        found = function()
        table.add_row(part, f"{time.perf_counter() - start:.2f}")
        return found

    sample = timed(
        "sample of all shards",
        lambda: (
            Sample.merge(Sample.of_shard(prepared[shard], components[shard], total_rows=ROWS) for shard in shards).rows
        ),
    )
    fresh = timed(f"{RESTARTS} fresh starts", lambda: fresh_start(sample, CLUSTERS, restarts=RESTARTS))
    refined = timed("passes over all rows", lambda: refine(lambda: iter(blocks), sample[:CLUSTERS], fresh, sample))
    stability = timed("100 refits", lambda: Stability.of(sample, refined.centroids))
    timed(
        "runner-up, margin and stability of all rows",
        lambda: [
            stability.certainty(block, nearest(block, refined.centroids)[0], refined.centroids) for block in blocks
        ],
    )
    timed("curve of k from 5 to 12", lambda: elbow(sample, range(5, 13)))
    Console().print(table)


if __name__ == "__main__":
    main()
