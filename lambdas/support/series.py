"""Reads the series that a run belongs to, and the run before it."""

from botocore.exceptions import ClientError

from contract.layout import RunLayout, SeriesLayout
from contract.payloads import Source
from jobs.series.comparison import PreviousRun, Series
from jobs.series.history import HistoryEntry, next_number, predecessor, read_history
from jobs.series.vintages import series_of, vintage_of
from lambdas.support.errors import NO_OBJECT, code_of
from lambdas.support.runtime import client
from lambdas.support.storage import Bucket, read_uri

# HeadObject's response has no body, and so only its status as a code.
_MISSING = (*NO_OBJECT, "404")


def read_series(results: Bucket, source: Source, run_id: str) -> Series:
    """Read the series of a run's input, with the files of the run before it.

    A missing or damaged file of the previous run does not fail this one: it is the reason why the two are not compared.
    """
    name = series_of(source["key"])
    vintage = vintage_of(source["key"], _metadata(source))
    unknown = read_history(None, name)
    try:
        history = read_history(_read_if_present(results, SeriesLayout(name).history), name)
        following, entry = next_number(history), predecessor(history, run_id)
        if entry is None:
            return Series(name, vintage, history, f"This is the first run of the series {name!r}.")
    except (ValueError, KeyError, TypeError) as error:
        reason = f"The history of the series {name!r} cannot be read, so it starts again with this run: {error}."
        return Series(name, vintage, unknown, reason)
    try:
        return Series(name, vintage, history, _previous(results, entry, following))
    except ClientError as error:
        if code_of(error) not in _MISSING:
            raise
        reason = f"Files of the previous run {entry['run_id']} were deleted: {error}"
        return Series(name, vintage, history, reason)


def _previous(results: Bucket, entry: HistoryEntry, following: int) -> PreviousRun:
    files = RunLayout(entry["run_id"])
    return PreviousRun(
        entry=entry,
        next_number=following,
        labeled_counties=results.read(files.labeled_counties),
        segments=results.read(files.segments),
        scaler=results.read(files.scaler),
        pca_artifact=read_uri(entry["models"]["pca"]),
        kmeans_artifact=read_uri(entry["models"]["kmeans"]),
    )


def _metadata(source: Source) -> dict[str, str]:
    """Return the metadata of the input's version; none where the input was deleted in the meantime."""
    version = {"VersionId": source["version_id"]} if source["version_id"] else {}
    try:
        head = client("s3").head_object(Bucket=source["bucket"], Key=source["key"], **version)
    except ClientError as error:
        if code_of(error) not in _MISSING:
            raise
        return {}
    return dict(head.get("Metadata", {}))


def _read_if_present(bucket: Bucket, key: str) -> bytes | None:
    try:
        return bucket.read(key)
    except ClientError as error:
        if code_of(error) not in _MISSING:
            raise
        return None
