"""The announcement of a successful run: the content of latest.json, the detail of the event, the notification."""

from typing import TypedDict

from contract.layout import RunLayout
from jobs.run.manifest import Input, Manifest
from jobs.run.notification import Notification
from jobs.segments.document import SegmentsDocument


class Files(TypedDict):
    """The S3 URIs of a run's results."""

    labeled_counties: str
    segments: str
    report: str
    manifest: str


class Announcement(TypedDict):
    """The content of latest.json and of the event's detail; `segments` is their number."""

    run_id: str
    input: Input
    rows_labeled: int
    rows_dropped: int
    segments: int
    files: Files


def announce(document: SegmentsDocument, manifest: Manifest, results_bucket: str) -> Announcement:
    """Announce a run whose results are in the results bucket."""
    files = RunLayout(document["run_id"])
    root = f"s3://{results_bucket}/"
    return Announcement(
        run_id=document["run_id"],
        input=manifest["input"],
        rows_labeled=document["rows"]["labeled"],
        rows_dropped=document["rows"]["dropped"],
        segments=len(document["segments"]),
        files=Files(
            labeled_counties=root + files.labeled_counties,
            segments=root + files.segments,
            report=root + files.report,
            manifest=root + files.manifest,
        ),
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
