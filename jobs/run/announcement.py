"""The announcement of a successful run: the content of latest.json, the detail of the event, the notification."""

from typing import TypedDict

from contract.layout import RunLayout
from jobs.run.manifest import Input, Manifest
from jobs.run.notification import Notification
from jobs.segments.document import SegmentsDocument
from jobs.series.changes import Changes


class Files(TypedDict):
    """The S3 URIs of a run's results."""

    labeled_counties: str
    segments: str
    report: str
    manifest: str
    changes: str


class Announcement(TypedDict):
    """The content of latest.json and of the event's detail; `segments` is their number."""

    run_id: str
    series: str
    input: Input
    rows_labeled: int
    rows_dropped: int
    segments: int
    files: Files


class ChangeAnnouncement(TypedDict):
    """The detail of the event that a run was compared with the one before it; `changes` is the URI of changes.json."""

    run_id: str
    previous_run_id: str
    series: str
    verdict: str
    adjusted_rand: float
    moved: int
    changes: str


def announce(document: SegmentsDocument, manifest: Manifest, *, series: str, results_bucket: str) -> Announcement:
    """Announce a run whose results are in the results bucket."""
    files = RunLayout(document["run_id"])
    root = f"s3://{results_bucket}/"
    return Announcement(
        run_id=document["run_id"],
        series=series,
        input=manifest["input"],
        rows_labeled=document["rows"]["labeled"],
        rows_dropped=document["rows"]["dropped"],
        segments=len(document["segments"]),
        files=Files(
            labeled_counties=root + files.labeled_counties,
            segments=root + files.segments,
            report=root + files.report,
            manifest=root + files.manifest,
            changes=root + files.changes,
        ),
    )


def announce_changes(changes: Changes, announcement: Announcement) -> ChangeAnnouncement | None:
    """Announce what changed; None where the run was not compared."""
    if changes.agreement is None or changes.previous_run_id is None:
        return None
    return ChangeAnnouncement(
        run_id=changes.run_id,
        previous_run_id=changes.previous_run_id,
        series=announcement["series"],
        verdict=changes.verdict,
        adjusted_rand=changes.agreement.adjusted_rand,
        moved=changes.movers_count,
        changes=announcement["files"]["changes"],
    )


def notify(announcement: Announcement, document: SegmentsDocument) -> Notification:
    """Compose the notification: the CSV, the segments with their sizes, and where the results are."""
    return Notification.of(
        f"Census run {announcement['run_id']}: {announcement['rows_labeled']:,} rows labeled",
        [
            announcement["input"]["uri"],
            "",
            *(f"{segment['size']:>8,}  {segment['name']}" for segment in document["segments"]),
            "",
            *(str(uri) for uri in announcement["files"].values()),
        ],
    )
