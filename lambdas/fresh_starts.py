"""Cluster the sample from many fresh starts, while the training job runs."""

import json
from typing import Any

from contract.layout import RunLayout
from contract.payloads import ChosenClusters, FreshStartsEvent
from jobs.segments.refine import fresh_start
from lambdas.support.runtime import entry_point, settings
from lambdas.support.shards import read_sample
from lambdas.support.storage import Bucket


@entry_point
def handler(event: FreshStartsEvent, _context: Any) -> ChosenClusters:
    """Write the best centroids of all starts."""
    files, results = RunLayout(event["run_id"]), Bucket(settings().results_bucket)
    clusters, restarts = event["clusters"], settings().refine_restarts
    centroids = fresh_start(read_sample(files, results), clusters, restarts=restarts)
    results.write(files.fresh_starts, json.dumps(centroids.tolist()).encode(), "application/json", expires=True)
    return {"clusters": clusters}
