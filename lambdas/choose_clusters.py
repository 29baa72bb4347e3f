"""Chooses the number of clusters by the quality of a clustering for each k."""

import json
from dataclasses import asdict
from typing import Any

from contract.layout import RunLayout
from contract.names import AUTO_CLUSTERS
from contract.payloads import ChooseClustersEvent, ChosenClusters
from jobs.segments.cluster_count import choose_k, elbow
from lambdas.support.runtime import entry_point, settings
from lambdas.support.shards import read_sample
from lambdas.support.storage import Bucket


@entry_point
def handler(event: ChooseClustersEvent, _context: Any) -> ChosenClusters:
    """Write elbow.json and return the number of clusters to train with."""
    files, results = RunLayout(event["run_id"]), Bucket(settings().results_bucket)
    fixed = settings().clusters
    ks = sorted({*AUTO_CLUSTERS} | ({fixed} if fixed != "auto" else set()))
    curve = elbow(read_sample(files, results), ks, refits=max(2, settings().stability_refits * 2 // 5))
    results.write(files.elbow, json.dumps([asdict(point) for point in curve]).encode(), "application/json")
    return {"clusters": choose_k(curve) if fixed == "auto" else fixed}
