"""Measure how stable the segments are, while SageMaker creates the endpoint."""

from typing import Any

from contract.layout import RunLayout
from contract.payloads import Refitted, StabilityEvent
from jobs.segments.kmeans import centroids_from_artifact
from jobs.segments.stability import Stability
from lambdas.support.runtime import entry_point, settings
from lambdas.support.shards import read_sample
from lambdas.support.storage import Bucket, read_uri


@entry_point
def handler(event: StabilityEvent, _context: Any) -> Refitted:
    """Write stability.npz: the refits that Label applies to every row, and the measures that Publish reports."""
    files, results = RunLayout(event["run_id"]), Bucket(settings().results_bucket)
    centroids = centroids_from_artifact(read_uri(event["artifacts"]))
    stability = Stability.of(read_sample(files, results), centroids, refits=settings().stability_refits)
    results.write(files.stability, stability.to_bytes())
    return {"refits": len(stability.refits)}
