"""Labels the rows of one shard and computes their statistics."""

from typing import Any

import numpy as np

from contract.layout import RunLayout
from contract.payloads import Labeled, ShardEvent
from jobs.sagemaker import recordio
from jobs.segments.assign import SegmentModel, nearest_centroids
from jobs.segments.kmeans import centroids_from_artifact
from jobs.segments.labels import labeled_rows
from jobs.segments.rows import Regions
from jobs.segments.scaling import Scaling
from jobs.segments.stability import Stability
from jobs.segments.statistics import SegmentStatistics
from jobs.series.alignment import Alignment
from lambdas.support.inference import infer
from lambdas.support.runtime import entry_point, settings
from lambdas.support.storage import Bucket, read_uri


@entry_point
def handler(event: ShardEvent, _context: Any) -> Labeled:
    """Write the shard's labeled rows and statistics, and return the number of its rows."""
    files, shard, results = RunLayout(event["run_id"]), event["shard"], Bucket(settings().results_bucket)
    projected = results.read(files.projected_part(shard["part"]))
    components, centroids = recordio.decode(projected), centroids_from_artifact(read_uri(event["artifacts"]))
    if settings().hosts_models:
        labels, distances = infer(event["endpoint"], projected, shard, "closest_cluster", "distance_to_cluster")
    else:
        labels, distances = nearest_centroids(components, centroids)
    labels = labels.astype(np.int64)
    scaled = recordio.decode(results.read(files.train_part(shard["part"])))
    scaling = Scaling.from_json(results.read(files.scaler))
    alignment = Alignment.from_json(results.read(files.alignment))
    previous_labels = None
    if alignment.previous_numbers is not None:
        previous = SegmentModel.from_bytes(results.read(files.previous_model))
        seen = previous.label(previous.rescale(scaled, scaling))
        previous_labels = np.array(alignment.previous_numbers)[seen.labels]
    stability = Stability.from_bytes(results.read(files.stability))
    certainty = stability.certainty(components, labels, centroids)
    regions = Regions.read(results.read_range(files.regions, shard["regions_start"], shard["regions_end"]))
    statistics = SegmentStatistics.of_shard(
        scaled=scaled,
        components=components,
        labels=labels,
        distances=distances,
        certainty=certainty,
        regions=regions,
        scaling=scaling,
        clusters=len(centroids),
        first_row=shard["first_row"],
        previous_labels=previous_labels,
    )
    results.write(files.statistics_part(shard["part"]), statistics.to_bytes(), expires=True)
    rows = labeled_rows(
        regions,
        components,
        labels,
        distances,
        certainty,
        numbers=np.array(alignment.numbers),
        previous_labels=previous_labels,
    )
    results.write(files.labeled_part(shard["part"]), rows, "text/csv", expires=True)
    return {"rows": shard["rows"]}
