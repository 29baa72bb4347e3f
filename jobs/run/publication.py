"""Everything that a successful run publishes, made from what its earlier steps left in S3."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.layout import RunLayout
from contract.payloads import PublishEvent
from contract.run_settings import RunSettings
from jobs.census.scaler import Scaler
from jobs.report import RunReport, render
from jobs.run.announcement import Announcement, ChangeAnnouncement, announce, announce_changes, notify
from jobs.run.manifest import Manifest, describe_run
from jobs.run.notification import Notification
from jobs.segments.assign import SegmentModel
from jobs.segments.cluster_count import ElbowPoint
from jobs.segments.describe import describe
from jobs.segments.document import SegmentsDocument
from jobs.segments.labels import fill_in_names, header
from jobs.segments.scaling import Scaling
from jobs.segments.stability import Stability
from jobs.segments.statistics import SegmentStatistics
from jobs.series.alignment import Alignment
from jobs.series.comparison import CurrentRun, PreviousRun, compare_runs
from jobs.series.history import HistoryEntry, SegmentEntry


@dataclass(frozen=True)
class Measures:
    """What earlier steps measured of a model: the contents of stability.npz, elbow.json and refinement.json.

    `elbow` and `refinement` are None if the model is an earlier run's; `refinement` also if the training job's
    centroids were hosted untouched.
    """

    stability: bytes
    elbow: bytes | None = None
    refinement: bytes | None = None


@dataclass(frozen=True)
class LabeledRun:
    """What the earlier steps wrote.

    Attributes
    ----------
    scaler
        The content of scaler.json.
    model, measures
        The model that labeled the rows, and what was measured of it.
    alignment
        alignment.json.
    statistics, labeled_parts
        For each shard its statistics and its rows of labeled_counties.csv, in the order of the shards; each is read at
        most once.
    """

    scaler: bytes
    model: SegmentModel
    measures: Measures
    alignment: Alignment
    statistics: Iterable[bytes]
    labeled_parts: Iterable[bytes]


@dataclass(frozen=True)
class Publication:
    """The contents of the result files, and what subscribers and metrics receive.

    `labeled_counties` yields the file piece by piece, because it is as long as the census; `entry` belongs into the
    history of the series; `metrics` are in rows and seconds.
    """

    labeled_counties: Iterator[bytes]
    segments: bytes
    report: bytes
    manifest: bytes
    changes: bytes
    entry: HistoryEntry
    latest: bytes
    announcement: Announcement
    change_announcement: ChangeAnnouncement | None
    notification: Notification
    metrics: Mapping[str, float]


def publish(
    event: PublishEvent,
    run: LabeledRun,
    *,
    previous: PreviousRun | str,
    earlier: Sequence[HistoryEntry],
    history: Iterable[Mapping[str, Any]],
    settings: RunSettings,
) -> Publication:
    """Make everything that a run publishes.

    Parameters
    ----------
    event, history
        What the state machine collected, and its execution's events, as for `describe_run`.
    previous
        The results of the run to compare with, or the reason why there are none.
    earlier
        The other runs of the series, oldest first, for the report.

    Raises
    ------
    ValueError
        If the run has no shard.
    """
    scaler: Scaler = json.loads(run.scaler)
    model, measures = run.model, run.measures
    scaling = Scaling.of(scaler).select(model.scaling.features)
    statistics = SegmentStatistics.merge(map(SegmentStatistics.from_bytes, run.statistics))
    document = describe(
        statistics,
        run_id=event["run_id"],
        scaling=scaling,
        model=model,
        stability=Stability.from_bytes(measures.stability),
        elbow=[ElbowPoint(**point) for point in json.loads(measures.elbow or b"[]")],
        numbers=run.alignment.numbers,
    )
    manifest = describe_run(
        event,
        sha256=scaler["source"]["sha256"],
        refinement=json.loads(measures.refinement) if measures.refinement else None,
        applied_run_id=_applied_run_id(run.alignment),
        history=history,
        settings=settings,
    )
    has_ids = scaler["source"]["id_column"] is not None
    changes = compare_runs(run.alignment, previous, CurrentRun(document, statistics, scaling, has_ids=has_ids))
    entry = _entry(event, run.alignment, document, settings)
    announcement = announce(document, manifest, series=run.alignment.series, results_bucket=settings.results_bucket)
    return Publication(
        labeled_counties=_labeled_counties(run.labeled_parts, document),
        segments=_json(document),
        report=render(
            RunReport(
                document, statistics, scaling, manifest, settings.variance_to_keep, changes, runs=[*earlier, entry]
            )
        ).encode(),
        manifest=_json(manifest),
        changes=changes.to_json().encode(),
        entry=entry,
        latest=_json(announcement),
        announcement=announcement,
        change_announcement=announce_changes(changes, announcement),
        notification=notify(announcement, document),
        metrics=_metrics(document, manifest),
    )


def _entry(
    event: PublishEvent, alignment: Alignment, document: SegmentsDocument, settings: RunSettings
) -> HistoryEntry:
    return HistoryEntry(
        run_id=document["run_id"],
        vintage=alignment.vintage,
        input=f"s3://{event['input']['bucket']}/{event['input']['key']}",
        rows=document["rows"]["labeled"],
        models=_models(event, alignment, settings),
        segments=[
            SegmentEntry(number=segment["label"], name=segment["name"], size=segment["size"])
            for segment in document["segments"]
        ],
    )


def _models(event: PublishEvent, alignment: Alignment, settings: RunSettings) -> dict[str, str]:
    """Return the URIs of the model that labeled the rows."""
    if alignment.is_applied and alignment.previous is not None:
        return alignment.previous["models"]
    return {
        "scaler": f"s3://{settings.results_bucket}/{RunLayout(event['run_id']).scaler}",
        "pca": event["pca_training"]["ModelArtifacts"]["S3ModelArtifacts"],
        "kmeans": event["kmeans_artifacts"],
    }


def _applied_run_id(alignment: Alignment) -> str | None:
    return alignment.previous["run_id"] if alignment.is_applied and alignment.previous else None


def _labeled_counties(parts: Iterable[bytes], document: SegmentsDocument) -> Iterator[bytes]:
    names = {segment["label"]: segment["name"] for segment in document["segments"]}
    yield header(document["pca"]["components_kept"])
    for part in parts:
        yield from fill_in_names(part, names)


def _metrics(document: SegmentsDocument, manifest: Manifest) -> dict[str, float]:
    return {
        "RowsLabeled": document["rows"]["labeled"],
        "RowsDropped": document["rows"]["dropped"],
        "RunSeconds": manifest["run_seconds"],
        "BillableTrainingSeconds": manifest["billable_training_seconds"],
        "EndpointSeconds": manifest["endpoint_seconds"],
    }


def _json(document: Mapping[str, Any]) -> bytes:
    """Write JSON as UTF-8, with finite numbers only."""
    return json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False).encode()
