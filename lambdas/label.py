"""Labels the rows of one shard and computes their statistics."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.layout import RunLayout
from contract.payloads import Labeled, LabelEvent
from jobs.sagemaker import recordio
from jobs.segments.assign import Assignment, SegmentModel, nearest_centroids
from jobs.segments.kmeans import centroids_from_artifact
from jobs.segments.labels import labeled_rows
from jobs.segments.rows import Regions
from jobs.segments.scaling import Scaling
from jobs.segments.stability import Stability
from jobs.segments.statistics import SegmentStatistics
from jobs.series.alignment import Alignment
from lambdas.support.inference import infer
from lambdas.support.runtime import entry_point, settings
from lambdas.support.storage import Bucket, read_uri_once


@dataclass(frozen=True)
class _Labeling:
    """The rows of a shard with what the run's model and the previous run's model make of them."""

    scaled: NDArray[np.float32]
    scaling: Scaling
    rows: Assignment
    centroids: NDArray[np.float64]
    previous_labels: NDArray[np.intp] | None


@entry_point
def handler(event: LabelEvent, _context: Any) -> Labeled:
    """Write the shard's labeled rows and statistics, and return the number of its rows."""
    files, shard, results = RunLayout(event["run_id"]), event["shard"], Bucket(settings().results_bucket)
    alignment = Alignment.from_json(results.read(files.alignment))
    labeling = _label(event, files, results, alignment)
    labels = labeling.rows.labels.astype(np.int64)
    components, distances = labeling.rows.components, labeling.rows.distances
    stability = Stability.from_bytes(results.read(files.stability))
    certainty = stability.certainty(components, labels, labeling.centroids)
    regions = Regions.read(results.read_range(files.regions, shard["regions_start"], shard["regions_end"]))
    statistics = SegmentStatistics.of_shard(
        scaled=labeling.scaled,
        components=components,
        labels=labels,
        distances=distances,
        certainty=certainty,
        regions=regions,
        scaling=labeling.scaling,
        clusters=len(labeling.centroids),
        first_row=shard["first_row"],
        previous_labels=labeling.previous_labels,
    )
    results.write(files.statistics_part(shard["part"]), statistics.to_bytes(), expires=True)
    rows = labeled_rows(
        regions,
        components,
        labels,
        distances,
        certainty,
        numbers=np.array(alignment.numbers),
        previous_labels=labeling.previous_labels,
    )
    results.write(files.labeled_part(shard["part"]), rows, "text/csv", expires=True)
    return {"rows": shard["rows"]}


def _label(event: LabelEvent, files: RunLayout, results: Bucket, alignment: Alignment) -> _Labeling:
    scaled = recordio.decode(results.read(files.train_part(event["shard"]["part"])))
    scaling = Scaling.from_json(results.read_once(files.scaler))
    if alignment.previous_numbers is None:
        return _Labeling(scaled, scaling, *_by_own_model(event, files, results), None)
    previous = SegmentModel.from_bytes(results.read(files.previous_model))
    seen = previous.label(previous.rescale(scaled, scaling))
    previous_labels = np.array(alignment.previous_numbers)[seen.labels]
    if not alignment.is_applied:
        return _Labeling(scaled, scaling, *_by_own_model(event, files, results), previous_labels)
    features = previous.scaling.features
    own = scaled[:, scaling.positions(features)]
    return _Labeling(own, scaling.select(features), seen, previous.centroids, previous_labels)


def _by_own_model(event: LabelEvent, files: RunLayout, results: Bucket) -> tuple[Assignment, NDArray[np.float64]]:
    """Label the projected rows by the run's own k-means model, and return its centroids too."""
    shard = event["shard"]
    projected = results.read(files.projected_part(shard["part"]))
    components, centroids = recordio.decode(projected), centroids_from_artifact(read_uri_once(event["artifacts"]))
    if settings().hosts_models:
        labels, distances = infer(event["endpoint"], projected, shard, "closest_cluster", "distance_to_cluster")
    else:
        labels, distances = nearest_centroids(components, centroids)
    return Assignment(components, labels, distances), centroids
