"""Prepares the CSV that triggered the run: validates it, cleans it, scales it and writes it as shards."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from typing import Any, cast, get_args

from botocore.exceptions import ClientError

from contract.layout import RunLayout
from contract.names import AUTO_CLUSTERS
from contract.payloads import Prepared, PrepareEvent, Source
from contract.run_settings import Mode
from jobs.census.prepare import prepare
from jobs.census.problems import InvalidCensus, Problem, shorten
from jobs.series.vintages import vintage_of
from lambdas.support.errors import NO_OBJECT, code_of
from lambdas.support.refusals import problems_listed
from lambdas.support.runtime import client, entry_point, settings
from lambdas.support.storage import Bucket
from lambdas.support.streaming import reader, writer


@dataclass(frozen=True)
class S3Sink:
    """Writes prepared files as objects under a prefix."""

    bucket: str
    prefix: str

    def open(self, name: str) -> AbstractContextManager[BufferedIOBase]:
        """Open an object for writing.

        Only regions.csv, which grows with the rows, is uploaded in parts; only the scaler is needed by a later run.
        """
        return writer(
            self.bucket, f"{self.prefix}{name}", in_parts=name == "regions.csv", expires=name != "scaler.json"
        )


@entry_point
def handler(event: PrepareEvent, _context: Any) -> Prepared:
    """Write the prepared files of the object version that triggered the run, and return their sizes.

    Raises
    ------
    InvalidCensus
        If the CSV cannot be used; problems.json then lists every problem.
    """
    files, source, results = RunLayout(event["run_id"]), event["input"], settings().results_bucket
    with problems_listed(files, Bucket(results)):
        metadata = _metadata(source)
        mode = _mode(metadata)
        prepared = prepare(
            lambda: _open(source),
            S3Sink(results, files.prepared),
            minimum_rows=_minimum_rows(mode),
            components=settings().num_components if mode == "train" else None,
            correct_shares=settings().correct_shares,
        )
    return {
        "rows": prepared.rows_kept,
        "features": len(prepared.features),
        "shards": len(prepared.shards),
        "shards_key": files.shards,
        "vintage": vintage_of(source["key"], metadata),
        "mode": mode,
    }


def _mode(metadata: Mapping[str, str]) -> Mode:
    """Return the mode in the metadata of the input, or else the one that is set."""
    given = metadata.get("mode", settings().mode)
    for mode in get_args(Mode):
        if given == mode:
            return cast("Mode", mode)
    wrong = Problem("mode", f"the metadata mode is {shorten(given)!r}", f"expected {' or '.join(get_args(Mode))}")
    raise InvalidCensus([wrong], {"mode": 1})


def _minimum_rows(mode: Mode) -> int:
    """Return the rows that a file must have: one per cluster, if the run trains."""
    clusters = settings().clusters
    if mode == "apply":
        return 1
    return AUTO_CLUSTERS[-1] if clusters == "auto" else clusters


def _metadata(source: Source) -> dict[str, str]:
    version = {"VersionId": source["version_id"]} if source["version_id"] else {}
    with _deleted_input_refused():
        head = client("s3").head_object(Bucket=source["bucket"], Key=source["key"], **version)
    return dict(head.get("Metadata", {}))


def _open(source: Source) -> Any:
    with _deleted_input_refused():
        return reader(source["bucket"], source["key"], source["version_id"])


@contextmanager
def _deleted_input_refused() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if code_of(error) not in NO_OBJECT:
            raise
        gone = Problem("deleted", "the object was deleted before it was read", "upload it again")
        raise InvalidCensus([gone], {"deleted": 1}) from error
