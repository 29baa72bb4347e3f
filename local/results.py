"""A run's result files: fetched from the results bucket, or read from a folder that holds them."""

import csv
import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jobs import layout
from local.trouble import Trouble

RESULTS: Final = Path("results")
LABELED, SEGMENTS, REPORT, MANIFEST = "labeled_counties.csv", "segments.json", "report.html", "manifest.json"
FAILURE, PROBLEMS = "failure.json", "problems.json"
FILES: Final = (REPORT, LABELED, SEGMENTS, MANIFEST, FAILURE, PROBLEMS)
"""What a person is given of a run, in the order in which they'd look; the rest are intermediate files."""


@dataclass(frozen=True)
class RunFiles:
    """A folder with one run's result files."""

    directory: Path

    @property
    def segments(self) -> dict[str, Any]:
        """The content of segments.json."""
        return self._json(SEGMENTS)

    @property
    def manifest(self) -> dict[str, Any]:
        """The content of manifest.json."""
        return self._json(MANIFEST)

    @property
    def problems(self) -> dict[str, Any] | None:
        """The content of problems.json, where the CSV was refused."""
        return self._json(PROBLEMS) if (self.directory / PROBLEMS).exists() else None

    @property
    def failure(self) -> dict[str, Any] | None:
        """The content of failure.json, where the run failed."""
        return self._json(FAILURE) if (self.directory / FAILURE).exists() else None

    @property
    def present(self) -> list[Path]:
        """The result files that are there."""
        return [self.directory / name for name in FILES if (self.directory / name).exists()]

    def rows(self) -> Iterator[dict[str, str]]:
        """Give the labeled regions one by one."""
        path = self._existing(LABELED)
        with path.open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)

    def _json(self, name: str) -> dict[str, Any]:
        path = self._existing(name)
        try:
            found: dict[str, Any] = json.loads(path.read_bytes())
        except ValueError as error:
            raise Trouble(f"{path} is not JSON: {error}") from error
        return found

    def _existing(self, name: str) -> Path:
        path = self.directory / name
        if not path.is_file():
            raise Trouble(f"{path} is missing; {self.directory} doesn't hold the results of a finished run")
        return path


def fetch(s3: Any, bucket: str, run_id: str, directory: Path) -> RunFiles:
    """Copy a run's result files into a folder; files of an earlier run there are replaced or removed.

    Raises
    ------
    Trouble
        When the folder can't be written.
    """
    root = layout.RunLayout(run_id).root
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=root, Delimiter="/").get("Contents", [])
    present = {item["Key"].removeprefix(root) for item in listed}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            if name in present:
                s3.download_file(bucket, root + name, str(directory / name))
            else:
                (directory / name).unlink(missing_ok=True)
    except OSError as error:
        raise Trouble(f"can't write the results to {directory}: {error.strerror or error}") from error
    return RunFiles(directory)


def newest(results: Path = RESULTS) -> RunFiles:
    """Return the latest finished run in a folder of runs.

    Raises
    ------
    Trouble
        When there is none.
    """
    finished = sorted(results.glob(f"*/{SEGMENTS}"), key=lambda path: path.stat().st_mtime)
    if not finished:
        raise Trouble(f"no finished run in {results}/; make one with: python -m local run")
    return RunFiles(finished[-1].parent)


def find_region(run: RunFiles, wanted: str) -> dict[str, str]:
    """Return the labeled row of a region.

    Parameters
    ----------
    run
        Where to look.
    wanted
        ``State-County`` in any case, or the region's id.

    Raises
    ------
    Trouble
        When no region, or more than one, is called so; the message suggests what may have been meant.
    """
    names: dict[str, list[dict[str, str]]] = {}
    sought = wanted.casefold().strip()
    for row in run.rows():
        identifier, state, county = list(row.values())[:3]
        if sought == identifier.casefold():
            return row
        names.setdefault(f"{state}-{county}", []).append(row)
    found = [row for name, rows in names.items() if name.casefold() == sought for row in rows]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(next(iter(row.values())) for row in found[:5])
        raise Trouble(f"{wanted} names {len(found)} regions; give the id of one: {ids}")
    raise Trouble(f"no region is called {wanted!r}{_suggestion(sought, list(names))}")


def _suggestion(sought: str, names: list[str]) -> str:
    """Offer names that look alike, and those whose county alone is what was asked for."""
    folded = {name.casefold(): name for name in names}
    alike = [name for name in names if name.casefold().partition("-")[2] == sought.rpartition("-")[2]][:3]
    alike += [folded[close] for close in difflib.get_close_matches(sought, folded, n=3, cutoff=0.6)]
    if not alike:
        return "; write it as State-County, such as 'California-San Francisco'"
    return "; did you mean " + " or ".join(repr(name) for name in list(dict.fromkeys(alike))[:3]) + "?"
