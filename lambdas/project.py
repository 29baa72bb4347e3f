"""Projects the rows of one shard onto the largest principal components."""

from typing import Any

from contract.layout import RunLayout, Shard
from contract.payloads import Projected, ShardEvent
from jobs.sagemaker import recordio
from jobs.segments.assign import project
from jobs.segments.pca import PcaModel
from lambdas.support.inference import infer
from lambdas.support.runtime import entry_point, settings
from lambdas.support.storage import Bucket, read_uri


@entry_point
def handler(event: ShardEvent, _context: Any) -> Projected:
    """Write the shard's projections onto the kept components and return the number of components."""
    files, shard, results = (
        RunLayout(event["run_id"]),
        Shard(**event["shard"]),
        Bucket(settings().results_bucket),
    )
    model = PcaModel.from_artifact(read_uri(event["artifacts"]))
    rows = results.read(files.train_part(shard.part))
    if settings().hosts_models:
        (projections,) = infer(event["endpoint"], rows, shard, "projection")
    else:
        projections = project(model, recordio.decode(rows))
    kept = model.leading_components(projections, model.components_to_keep(settings().variance_to_keep))
    results.write(files.projected_part(shard.part), recordio.encode(kept), expires=True)
    return {"components": kept.shape[1]}
