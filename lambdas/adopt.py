"""Takes the model of the previous run of the series as the run's own, for ``mode: apply``."""

from typing import Any

from contract.layout import RunLayout
from contract.payloads import Adopted, AdoptEvent
from jobs.segments.scaling import Scaling
from jobs.series.alignment import Predecessor, adopt
from jobs.series.vintages import series_of
from lambdas.support.refusals import problems_listed
from lambdas.support.runtime import entry_point, settings
from lambdas.support.series import if_present, read_predecessor
from lambdas.support.storage import JSON, Bucket


@entry_point
def handler(event: AdoptEvent, _context: Any) -> Adopted:
    """Write alignment.json, the previous run's model and its stability.npz for this run.

    Raises
    ------
    InvalidCensus
        If there is no model that can be applied to the file; problems.json then says why.
    """
    files, results = RunLayout(event["run_id"]), Bucket(settings().results_bucket)
    series = series_of(event["input"]["key"])
    found = read_predecessor(results, series, files.run_id, settings().align_to)
    entry, stability = found.entry, b""
    if entry is not None:
        kept = if_present(entry, lambda: results.read(RunLayout(entry["run_id"]).stability))
        found, stability = (found, kept) if isinstance(kept, bytes) else (Predecessor(entry, kept), b"")
    scaling = Scaling.from_json(results.read(files.scaler))
    with problems_listed(files, results):
        alignment, model = adopt(found, scaling, series=series, vintage=event["vintage"])
    results.write(files.stability, stability)
    results.write(files.previous_model, model.to_bytes(), expires=True)
    results.write(files.alignment, alignment.to_json(), JSON, expires=True)
    return {"segments": len(alignment.numbers)}
