"""Write the result of a run: labeled counties, segments, report, manifest; point to it last, and tell people."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contract.layout import LATEST, RunLayout, Shard
from jobs.report import RunReport, render
from jobs.run.manifest import Manifest
from jobs.segments.describe import SegmentsDocument, describe
from jobs.segments.kmeans import ElbowPoint, centroids_from_artifact
from jobs.segments.labels import header, name_segments
from jobs.segments.pca import PcaModel
from jobs.segments.statistics import Scaling, SegmentStatistics
from lambdas.support.errors import named_error
from lambdas.support.runtime import client, count, entry_point, settings
from lambdas.support.storage import Bucket, let_expire, read_uri
from lambdas.support.streaming import writer


@entry_point
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Write everything that explains the run's segments, then move latest.json, then announce it."""
    files, results = RunLayout(event["run_id"]), Bucket(settings().results_bucket)
    run = _Run.load(event, files, results)
    document = describe(
        run.statistics, run_id=files.run_id, scaling=run.scaling, pca=run.pca, centroids=run.centroids, elbow=run.elbow
    )
    manifest = Manifest.of_state(
        event, sha256=run.scaler["source"]["sha256"], history=_history(event["execution"]["Id"]), settings=settings()
    )
    report = RunReport(document, run.statistics, run.scaling, manifest.as_dict(), settings().variance_to_keep)
    _write_labeled(run, document, files, results)
    results.write(files.segments, document.to_json().encode(), "application/json")
    results.write(files.manifest, _json(manifest.as_dict()), "application/json")
    results.write(files.report, render(report).encode(), "text/html; charset=utf-8")
    for training in (event["pca_training"], event["kmeans_training"]):
        let_expire(training["ModelArtifacts"]["S3ModelArtifacts"])
    announcement = _announcement(document, manifest, files)
    results.write(LATEST, _json(announcement), "application/json")
    _announce(announcement, document)
    count(
        RowsLabeled=document.rows_labeled,
        RowsDropped=document.rows_dropped,
        RunSeconds=manifest.run_seconds,
        BillableTrainingSeconds=manifest.billable_training_seconds,
        EndpointSeconds=manifest.endpoint_seconds,
    )
    return announcement


@dataclass(frozen=True)
class _Run:
    """What the earlier steps left to publish."""

    shards: list[Shard]
    scaler: dict[str, Any]
    scaling: Scaling
    statistics: SegmentStatistics
    pca: PcaModel
    centroids: Any
    elbow: list[ElbowPoint]

    @classmethod
    def load(cls, event: dict[str, Any], files: RunLayout, results: Bucket) -> "_Run":
        shards = [Shard(**shard) for shard in json.loads(results.read(files.shards))]
        scaler = results.read(files.scaler)
        parts = (SegmentStatistics.from_bytes(results.read(files.statistics_part(each.part))) for each in shards)
        return cls(
            shards=shards,
            scaler=json.loads(scaler),
            scaling=Scaling.from_json(scaler),
            statistics=SegmentStatistics.merge(parts),
            pca=PcaModel.from_artifact(read_uri(event["pca_training"]["ModelArtifacts"]["S3ModelArtifacts"])),
            centroids=centroids_from_artifact(read_uri(event["kmeans_training"]["ModelArtifacts"]["S3ModelArtifacts"])),
            elbow=[ElbowPoint(**point) for point in json.loads(results.read(files.elbow))],
        )


def _write_labeled(run: _Run, document: SegmentsDocument, files: RunLayout, results: Bucket) -> None:
    names = {segment.label: segment.name for segment in document.segments}
    with writer(results.name, files.labeled_counties) as out:
        out.write(header(len(document.components)))
        for shard in run.shards:
            out.write(name_segments(results.read(files.labeled_part(shard.part)), names))


def _history(execution_arn: str) -> Iterator[dict[str, Any]]:
    pages = (
        client("stepfunctions")
        .get_paginator("get_execution_history")
        .paginate(executionArn=execution_arn, includeExecutionData=False)
    )
    for page in pages:
        yield from page["events"]


def _announcement(document: SegmentsDocument, manifest: Manifest, files: RunLayout) -> dict[str, Any]:
    root = f"s3://{settings().results_bucket}/"
    described = manifest.as_dict()
    return {
        "run_id": files.run_id,
        "input": described["input"],
        "rows_labeled": document.rows_labeled,
        "rows_dropped": document.rows_dropped,
        "segments": len(document.segments),
        "files": {
            "labeled_counties": root + files.labeled_counties,
            "segments": root + files.segments,
            "report": root + files.report,
            "manifest": root + files.manifest,
        },
    }


def _announce(announcement: dict[str, Any], document: SegmentsDocument) -> None:
    sent = client("events").put_events(
        Entries=[
            {
                "Source": "census.segmentation",
                "DetailType": "Census Segmented",
                "Detail": json.dumps(announcement),
                "Resources": [announcement["files"]["labeled_counties"]],
            }
        ]
    )
    if sent["FailedEntryCount"]:
        raise named_error(sent["Entries"][0]["ErrorCode"], f"PutEvents: {sent['Entries'][0].get('ErrorMessage')}")
    lines = [f"{segment.size:>8,}  {segment.name}" for segment in document.segments]
    client("sns").publish(
        TopicArn=settings().topic_arn,
        Subject=f"Census run {announcement['run_id']}: {announcement['rows_labeled']:,} rows labeled"[:100],
        Message="\n".join([announcement["input"]["uri"], "", *lines, "", *announcement["files"].values()]),
    )


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False).encode()
