"""Publishes the results of a run."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from contract.layout import LATEST, RunLayout
from contract.payloads import PublishEvent
from jobs.run.announcement import Announcement
from jobs.run.publication import LabeledRun, Measures, publish
from jobs.segments.assign import SegmentModel
from jobs.series.alignment import Alignment
from jobs.series.comparison import PreviousRun
from lambdas.support.errors import named_error
from lambdas.support.runtime import client, count, entry_point, settings
from lambdas.support.series import add_to_series, if_present, other_runs, results_of
from lambdas.support.shards import read_shards
from lambdas.support.storage import JSON, Bucket, read_uri
from lambdas.support.streaming import writer


@entry_point
def handler(event: PublishEvent, _context: Any) -> Announcement:
    """Write the result files, then replace latest.json, and finally send the event and the notification."""
    files, results = RunLayout(event["run_id"]), Bucket(settings().results_bucket)
    shards = read_shards(files, results)
    alignment = Alignment.from_json(results.read(files.alignment))
    model, measures = _model(event, files, results, alignment)
    run = LabeledRun(
        scaler=results.read(files.scaler),
        model=model,
        measures=measures,
        alignment=alignment,
        statistics=results.read_each(files.statistics_part(shard["part"]) for shard in shards),
        labeled_parts=results.read_each(files.labeled_part(shard["part"]) for shard in shards),
    )
    published = publish(
        event,
        run,
        previous=_previous_results(results, alignment),
        earlier=other_runs(results, alignment.series, files.run_id),
        history=_history(event["execution"]["Id"]),
        settings=settings(),
    )
    with writer(results.name, files.labeled_counties) as out:
        for rows in published.labeled_counties:
            out.write(rows)
    results.write(files.segments, published.segments, JSON)
    results.write(files.manifest, published.manifest, JSON)
    results.write(files.report, published.report, "text/html; charset=utf-8")
    results.write(files.changes, published.changes, JSON)
    add_to_series(results, alignment.series, published.entry, published.latest)
    results.write(LATEST, published.latest, JSON)
    _send_event("Census Segmented", published.announcement, published.announcement["files"]["labeled_counties"])
    if published.change_announcement is not None:
        _send_event("Census Changed", published.change_announcement, published.change_announcement["changes"])
    client("sns").publish(
        TopicArn=settings().topic_arn, Subject=published.notification.subject, Message=published.notification.message
    )
    count(**published.metrics)
    return published.announcement


def _model(
    event: PublishEvent, files: RunLayout, results: Bucket, alignment: Alignment
) -> tuple[SegmentModel, Measures]:
    """Read the model that labeled the rows, and what was measured of it."""
    stability = results.read(files.stability)
    if alignment.is_applied:
        return SegmentModel.from_bytes(results.read(files.previous_model)), Measures(stability)
    artifacts = event["pca_training"]["ModelArtifacts"]["S3ModelArtifacts"], event["kmeans_artifacts"]
    model = SegmentModel.of(results.read(files.scaler), *map(read_uri, artifacts))
    refinement = results.read(files.refinement) if settings().refine else None
    return model, Measures(stability, results.read(files.elbow), refinement)


def _previous_results(results: Bucket, alignment: Alignment) -> PreviousRun | str:
    entry = alignment.previous
    if entry is None or alignment.reason is not None:
        return str(alignment.reason)
    return if_present(entry, lambda: results_of(results, entry))


def _history(execution_arn: str) -> Iterator[dict[str, Any]]:
    paginator = client("stepfunctions").get_paginator("get_execution_history")
    for page in paginator.paginate(executionArn=execution_arn, includeExecutionData=False, maxResults=1000):
        yield from page["events"]


def _send_event(kind: str, detail: Mapping[str, Any], resource: str) -> None:
    entry = {
        "Source": "census.segmentation",
        "DetailType": kind,
        "Detail": json.dumps(detail),
        "Resources": [resource],
    }
    sent = client("events").put_events(Entries=[entry])
    if sent["FailedEntryCount"]:
        refusal = sent["Entries"][0]
        raise named_error(refusal["ErrorCode"], f"PutEvents: {refusal.get('ErrorMessage')}")
