"""Publishes the results of a run."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from contract.layout import LATEST, RunLayout, SeriesLayout
from contract.payloads import PublishEvent
from jobs.run.announcement import Announcement
from jobs.run.publication import LabeledRun, publish
from lambdas.support.errors import named_error
from lambdas.support.runtime import client, count, entry_point, settings
from lambdas.support.series import read_series
from lambdas.support.shards import read_shards
from lambdas.support.storage import Bucket, read_uri
from lambdas.support.streaming import writer

_JSON = "application/json"


@entry_point
def handler(event: PublishEvent, _context: Any) -> Announcement:
    """Write the result files, then replace latest.json, and finally send the event and the notification."""
    files, results = RunLayout(event["run_id"]), Bucket(settings().results_bucket)
    shards = read_shards(files, results)
    run = LabeledRun(
        scaler=results.read(files.scaler),
        elbow=results.read(files.elbow),
        stability=results.read(files.stability),
        refinement=results.read(files.refinement) if settings().refine else None,
        pca_artifact=read_uri(event["pca_training"]["ModelArtifacts"]["S3ModelArtifacts"]),
        kmeans_artifact=read_uri(event["kmeans_artifacts"]),
        statistics=(results.read(files.statistics_part(shard["part"])) for shard in shards),
        labeled_parts=(results.read(files.labeled_part(shard["part"])) for shard in shards),
        scaled=(results.read(files.train_part(shard["part"])) for shard in shards),
    )
    series = read_series(results, event["input"], files.run_id)
    published = publish(event, run, series=series, history=_history(event["execution"]["Id"]), settings=settings())
    with writer(results.name, files.labeled_counties) as out:
        for rows in published.labeled_counties:
            out.write(rows)
    results.write(files.segments, published.segments, _JSON)
    results.write(files.manifest, published.manifest, _JSON)
    results.write(files.report, published.report, "text/html; charset=utf-8")
    results.write(files.changes, published.changes, _JSON)
    results.write(SeriesLayout(series.name).history, published.history, _JSON)
    for latest in (SeriesLayout(series.name).latest, LATEST):
        results.write(latest, published.latest, _JSON)
    _send_event("Census Segmented", published.announcement, published.announcement["files"]["labeled_counties"])
    if published.change_announcement is not None:
        _send_event("Census Changed", published.change_announcement, published.change_announcement["changes"])
    client("sns").publish(
        TopicArn=settings().topic_arn, Subject=published.notification.subject, Message=published.notification.message
    )
    count(**published.metrics)
    return published.announcement


def _history(execution_arn: str) -> Iterator[dict[str, Any]]:
    paginator = client("stepfunctions").get_paginator("get_execution_history")
    for page in paginator.paginate(executionArn=execution_arn, includeExecutionData=False):
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
