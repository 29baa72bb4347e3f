"""Chooses the number of clusters from the elbow: the mean distance of counties to their centroids for each k."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from contract.layout import RunLayout, Shard
from contract.names import AUTO_CLUSTERS
from contract.payloads import ChooseClustersEvent, ChosenClusters
from jobs.sagemaker import recordio
from jobs.segments.kmeans import ELBOW_ROWS, choose_k, elbow
from lambdas.support.runtime import entry_point, settings
from lambdas.support.storage import Bucket


@entry_point
def handler(event: ChooseClustersEvent, _context: Any) -> ChosenClusters:
    """Write elbow.json and return the number of clusters to train with."""
    files, results = RunLayout(event["run_id"]), Bucket(settings().results_bucket)
    shards = [Shard(**shard) for shard in json.loads(results.read(files.shards))]
    enough = max(1, -(-ELBOW_ROWS // shards[0].rows))
    chosen = shards[:: max(1, len(shards) // enough)]
    points = np.concatenate([recordio.decode(results.read(files.projected_part(each.part))) for each in chosen])
    fixed = settings().clusters
    curve = elbow(points, sorted({*AUTO_CLUSTERS} | ({fixed} if fixed != "auto" else set())))
    results.write(files.elbow, json.dumps([asdict(point) for point in curve]).encode(), "application/json")
    return {"clusters": choose_k(curve) if fixed == "auto" else fixed}
