"""Refine the training job's centroids over all rows, and write them as an artifact that SageMaker hosts."""

import json
from typing import Any

import numpy as np

from contract.layout import RunLayout
from contract.payloads import Refined, RefineEvent
from jobs.sagemaker import recordio
from jobs.segments.kmeans import artifact_of, centroids_from_artifact
from jobs.segments.refine import refine
from jobs.segments.spool import spooled
from lambdas.support.runtime import entry_point, settings
from lambdas.support.shards import read_sample, read_shards
from lambdas.support.storage import Bucket, read_uri


@entry_point
def handler(event: RefineEvent, _context: Any) -> Refined:
    """Write the refined model.tar.gz and refinement.json, and return the artifact's URI."""
    files, results = RunLayout(event["run_id"]), Bucket(settings().results_bucket)
    parts = results.read_each(files.projected_part(shard["part"]) for shard in read_shards(files, results))
    with spooled(recordio.decode(part) for part in parts) as blocks:
        refined = refine(
            blocks,
            centroids_from_artifact(read_uri(event["artifacts"])),
            np.array(json.loads(results.read(files.fresh_starts))),
            read_sample(files, results),
        )
    results.write(files.refined_model, artifact_of(refined.centroids), "application/gzip")
    results.write(files.refinement, json.dumps(refined.summary()).encode(), "application/json")
    return {"artifacts": f"s3://{results.name}/{files.refined_model}"}
