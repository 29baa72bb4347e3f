"""Copies a run's result files from the results bucket to a folder, where other commands read them."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from contract import layout
from local.errors import UserError
from local.program import PROGRAM
from local.synthetic_names import FILE_NAME, NOTE

if TYPE_CHECKING:
    from jobs.census.problems import ProblemsDocument
    from jobs.run.failure import Failure
    from jobs.run.manifest import Manifest
    from jobs.segments.document import SegmentsDocument
    from jobs.segments.scaling import Scaling

RESULTS: Final = Path("results")
LABELED, SEGMENTS, REPORT, MANIFEST = "labeled_counties.csv", "segments.json", "report.html", "manifest.json"
CHANGES, FAILURE, PROBLEMS = "changes.json", "failure.json", "problems.json"
_PREPARED, _TRAIN, _SCALER = "prepared", "prepared/train", "prepared/scaler.json"
_MAX_FEATURE_BYTES: Final = 64 * 1024 * 1024  # about 400,000 rows
FILES: Final = (REPORT, LABELED, SEGMENTS, MANIFEST, CHANGES, FAILURE, PROBLEMS)
"""The files that are copied for people, the most interesting first; a run's other files are intermediate."""


@dataclass(frozen=True)
class RunFiles:
    """A folder with one run's result files."""

    directory: Path

    @property
    def segments(self) -> "SegmentsDocument":
        """The content of segments.json."""
        return cast("SegmentsDocument", self._json(SEGMENTS))

    @property
    def manifest(self) -> "Manifest":
        """The content of manifest.json."""
        return cast("Manifest", self._json(MANIFEST))

    @property
    def changes(self) -> dict[str, Any]:
        """The content of changes.json."""
        return cast("dict[str, Any]", self._json(CHANGES))

    @property
    def problems(self) -> "ProblemsDocument | None":
        """The content of problems.json if the CSV was refused, else ``None``."""
        return cast("ProblemsDocument", self._json(PROBLEMS)) if (self.directory / PROBLEMS).exists() else None

    @property
    def failure(self) -> "Failure | None":
        """The content of failure.json if the run failed, else ``None``."""
        return cast("Failure", self._json(FAILURE)) if (self.directory / FAILURE).exists() else None

    @property
    def notes(self) -> list[str]:
        """Notes for readers of the figures, such as that the census is synthetic."""
        uri = self.manifest["input"]["uri"]
        return [f"this is a {NOTE}"] if uri.endswith(f"/{FILE_NAME}") else []

    @property
    def present(self) -> list[Path]:
        """The result files that exist."""
        return [self.directory / name for name in FILES if (self.directory / name).exists()]

    def scaling(self) -> "Scaling":
        """Read how the features were scaled."""
        from jobs.segments.scaling import Scaling  # noqa: PLC0415 - imports numpy, which few commands need

        return Scaling.from_json(self._existing(_SCALER).read_bytes())

    def training_shards(self) -> Iterator[bytes]:
        """Yield the recordIO shards with the scaled features, in the order of the rows."""
        for path in sorted((self.directory / _TRAIN).glob("*.pbr")):
            yield path.read_bytes()

    def labeled(self) -> str:
        """Read labeled_counties.csv."""
        return self._existing(LABELED).read_text(encoding="utf-8")

    def _json(self, name: str) -> Any:
        path = self._existing(name)
        try:
            return json.loads(path.read_bytes())
        except ValueError as error:
            raise UserError(f"{path} is not JSON: {error}") from error

    def _existing(self, name: str) -> Path:
        path = self.directory / name
        if not path.is_file():
            raise UserError(f"{path} is missing; {self.directory} does not contain the results of a finished run")
        return path


def fetch(s3: Any, bucket: str, run_id: str, directory: Path) -> RunFiles:
    """Copy a run's result files into a folder, replacing those of an earlier run.

    The scaled features, which ``explain`` and ``compare`` need, are copied to ``prepared/`` up to 64 MiB.

    Raises
    ------
    UserError
        If the folder cannot be written to.
    """
    run = layout.RunLayout(run_id)
    try:
        shutil.rmtree(directory / _PREPARED, ignore_errors=True)
        directory.mkdir(parents=True, exist_ok=True)
        present = {key.removeprefix(run.root) for key in _sizes(s3, bucket, run.root, delimiter="/")}
        for name in FILES:
            if name in present:
                s3.download_file(bucket, run.root + name, str(directory / name))
            else:
                (directory / name).unlink(missing_ok=True)
        features = _sizes(s3, bucket, run.train) if SEGMENTS in present else {}
        if features and sum(features.values()) <= _MAX_FEATURE_BYTES:
            (directory / _TRAIN).mkdir(parents=True)
            for key in [run.scaler, *features]:
                s3.download_file(bucket, key, str(directory / key.removeprefix(run.root)))
    except OSError as error:
        raise UserError(f"cannot write the results to {directory}: {error.strerror or error}") from error
    return RunFiles(directory)


def written(s3: Any, bucket: str, run_id: str) -> frozenset[str]:
    """Return the names of all files of a run, relative to its folder in the results bucket."""
    root = layout.RunLayout(run_id).root
    return frozenset(key.removeprefix(root) for key in _sizes(s3, bucket, root))


def _sizes(s3: Any, bucket: str, prefix: str, delimiter: str = "") -> dict[str, int]:
    """Return the sizes in bytes of the objects under a prefix, by key."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter=delimiter)
    return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}


def newest(results: Path = RESULTS) -> RunFiles:
    """Return the most recently finished run in a folder of runs.

    Raises
    ------
    UserError
        If there is none.
    """
    finished = sorted(results.glob(f"*/{SEGMENTS}"), key=lambda path: path.stat().st_mtime)
    if not finished:
        raise UserError(f"no finished run in {results}/; make one with: {PROGRAM} run")
    return RunFiles(finished[-1].parent)
