"""Numbers the segments of a run like those of the run before in its series, before the rows are labeled."""

from typing import Any

from contract.layout import RunLayout, SeriesLayout
from contract.payloads import AlignedSegments, AlignEvent
from jobs.segments.assign import SegmentModel
from jobs.series.alignment import Aligned, align
from jobs.series.history import reserve, to_json
from jobs.series.vintages import series_of
from lambdas.support.runtime import entry_point, settings
from lambdas.support.series import NO_RUN, current_history, read_predecessor
from lambdas.support.storage import JSON, Bucket, read_uri


@entry_point
def handler(event: AlignEvent, _context: Any) -> AlignedSegments:
    """Write alignment.json, and the previous run's model if it can label the rows of this run."""
    files, results = RunLayout(event["run_id"]), Bucket(settings().results_bucket)
    artifacts = (read_uri(event[name]) for name in ("pca_artifacts", "kmeans_artifacts"))
    model, series = SegmentModel.of(results.read(files.scaler), *artifacts), series_of(event["input"]["key"])
    predecessor = read_predecessor(results, series, files.run_id, settings().align_to)

    def number(content: bytes | None) -> tuple[Aligned, bytes | None]:
        """Align the run, and reserve the numbers of new segments so that no other run uses them."""
        history, _ = current_history(content, series)
        first = history["next_number"] if history["runs"] and settings().align_to != NO_RUN else 0
        aligned = align(predecessor, model, series=series, vintage=event["vintage"], next_number=first)
        new = sum(number >= first for number in aligned.alignment.numbers)
        return aligned, to_json(reserve(history, new)) if first and new else None

    aligned = results.update(SeriesLayout(series).history, number, JSON)
    if aligned.previous_model is not None:
        results.write(files.previous_model, aligned.previous_model.to_bytes(), expires=True)
    results.write(files.alignment, aligned.alignment.to_json(), JSON, expires=True)
    return {"kept": len(aligned.alignment.distances)}
