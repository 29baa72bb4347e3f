"""Projects the rows of one shard onto the largest principal components."""

from typing import Any

from contract.layout import RunLayout
from contract.payloads import Projected, ShardEvent
from jobs.sagemaker import recordio
from jobs.segments.assign import project
from jobs.segments.pca import PcaModel
from jobs.segments.sampling import Sample
from jobs.segments.scaling import Scaling
from lambdas.support.inference import infer
from lambdas.support.runtime import entry_point, settings
from lambdas.support.storage import Bucket, read_uri_once


@entry_point
def handler(event: ShardEvent, _context: Any) -> Projected:
    """Write the shard's kept components and its part of the sample, and return the number of components."""
    files, shard, results = RunLayout(event["run_id"]), event["shard"], Bucket(settings().results_bucket)
    model = PcaModel.from_artifact(read_uri_once(event["artifacts"]))
    prepared = results.read(files.train_part(shard["part"]))
    if settings().hosts_models:
        (projections,) = infer(event["endpoint"], prepared, shard, "projection")
    else:
        projections = project(model, recordio.decode(prepared))
    kept = model.leading_components(projections, model.components_to_keep(settings().variance_to_keep))
    results.write(files.projected_part(shard["part"]), recordio.encode(kept), expires=True)
    rows = Scaling.from_json(results.read_once(files.scaler)).rows_kept
    sample = Sample.of_shard(recordio.decode(prepared), kept, total_rows=rows)
    results.write(files.sampled_part(shard["part"]), sample.to_bytes(), expires=True)
    return {"components": kept.shape[1]}
