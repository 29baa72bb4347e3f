"""One CSV through the whole stack, in an embedded AWS made for it and stopped after it."""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from local import results, show
from local.errors import Trouble
from local.follow import Follower, Snapshot
from local.session import DEPLOY, SERVER_LOG, START, SYNTH, Journal, Options, Stack, running

Telling = Literal["full", "quiet", "json"]
"""How much is told: everything, the end result, or one JSON document."""

_PROBLEMS_SHOWN: Final = 8


@dataclass(frozen=True)
class Rehearsal:
    """What came of a run.

    Attributes
    ----------
    csv
        The input.
    synthetic
        Whether the input was made up.
    files
        The result files, copied.
    leftovers
        What SageMaker still has of it: nothing, if all is well.
    seconds
        Where the time went, and ``total``.
    """

    csv: Path
    synthetic: bool
    run_id: str
    snapshot: Snapshot
    files: results.RunFiles
    leftovers: list[str]
    seconds: dict[str, float]

    @property
    def succeeded(self) -> bool:
        """Whether the counties are labeled and nothing is left running."""
        return self.snapshot.status == "SUCCEEDED" and not self.leftovers


def rehearse(csv: Path | None, out: Path | None, options: Options, *, telling: Telling) -> None:
    """Run a CSV through the stack and tell what came of it.

    Parameters
    ----------
    csv
        ``None`` makes up a synthetic census.
    out
        Where the result files are copied to; ``None`` takes a folder named after the run.
    options
        Of the embedded AWS.
    telling
        How much is told.

    Raises
    ------
    Trouble
        When the CSV can't be read, the embedded AWS can't run, the run fails, or it leaves something behind.
    """
    began = time.time()
    _check_out(out)
    mode: show.Mode = "silent" if telling != "full" else "live" if show.console().is_terminal else "lines"
    with _input(csv) as path, show.screen(mode) as screen:
        journal = Journal(screen.show)
        rehearsal = _run(path, out, options, journal, synthetic=csv is None)
    rehearsal.seconds["total"] = round(time.time() - began, 3)
    if not rehearsal.succeeded:
        raise _trouble(rehearsal)
    if telling == "json":
        sys.stdout.write(json.dumps(_document(rehearsal), indent=1) + "\n")
    elif telling == "quiet":
        rows, segments = rehearsal.files.segments["rows"], rehearsal.files.segments["segments"]
        sys.stdout.write(f"{rows['labeled']:,} rows in {len(segments)} segments: {rehearsal.files.directory}\n")
    else:
        _tell(rehearsal)


def _run(csv: Path, out: Path | None, options: Options, journal: Journal, *, synthetic: bool) -> Rehearsal:
    with running(options, journal) as stack:
        with journal.step("Upload", "the CSV to be stored"):
            run_id = stack.upload(csv)
        snapshot = _follow(stack, run_id, journal)
        with journal.step("Copy results", "the result files"):
            files = results.fetch(stack.client("s3"), stack.results_bucket, run_id, out or results.RESULTS / run_id)
        with journal.step("Look for leftovers", "SageMaker's lists"):
            leftovers = stack.leftovers()
    seconds = {
        "start": journal.seconds(START),
        "synth": journal.seconds(SYNTH),
        "deploy": journal.seconds(DEPLOY),
        "execution": round(snapshot.seconds, 3),
    }
    return Rehearsal(csv, synthetic, run_id, snapshot, files, leftovers, seconds)


def _follow(stack: Stack, run_id: str, journal: Journal) -> Snapshot:
    follower = Follower(stack.client("stepfunctions"), stack.execution_arn(run_id))
    try:
        return follower.watch(lambda snapshot: journal.include(snapshot.steps))
    except TimeoutError as error:
        raise Trouble(f"{error}; the embedded AWS's log is {SERVER_LOG}") from error


@contextmanager
def _input(csv: Path | None) -> Iterator[Path]:
    """Give the CSV that the user named, once it is sure that it can be read, or a synthetic one."""
    if csv is not None:
        _check_readable(csv)
        yield csv
        return
    from local import synthetic_census as sample  # noqa: PLC0415 - brings pandas, which a run of one's own CSV doesn't need

    with tempfile.TemporaryDirectory(prefix="census-") as directory:
        path = Path(directory) / sample.FILE_NAME
        sample.write(path)
        yield path


def _check_readable(csv: Path) -> None:
    if csv.is_dir():
        raise Trouble(f"{csv} is a folder; give a CSV file")
    try:
        with csv.open("rb") as file:
            file.read(1)
    except FileNotFoundError:
        raise Trouble(f"{csv} doesn't exist; give a census CSV, or none for a synthetic one") from None
    except OSError as error:
        raise Trouble(f"{csv} can't be read: {error.strerror or error}") from error


def _check_out(out: Path | None) -> None:
    if out is not None and out.exists() and not out.is_dir():
        raise Trouble(f"--out {out} is a file; give a folder")


def _tell(rehearsal: Rehearsal) -> None:
    screen, segments = show.console(), rehearsal.files.segments
    screen.print()
    screen.print(show.segment_table(segments))
    show.notes(screen, [*rehearsal.files.notes, *show.warnings(segments)])
    screen.print("\nNothing is left in SageMaker: no endpoint, endpoint config, model or running training job.")
    screen.print(show.timing(rehearsal.seconds))
    screen.print("\nResults:")
    screen.print(show.paths(rehearsal.files.present))


def _document(rehearsal: Rehearsal) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    document: dict[str, Any] = {
        "run_id": rehearsal.run_id,
        "status": rehearsal.snapshot.status,
        "input": rehearsal.csv.name if rehearsal.synthetic else str(rehearsal.csv),
        "synthetic": rehearsal.synthetic,
        "out": str(rehearsal.files.directory),
        "files": [path.name for path in rehearsal.files.present],
        "left_in_sagemaker": rehearsal.leftovers,
        "seconds": dict(rehearsal.seconds),
        "steps": [
            {"name": step.name, "outcome": step.outcome, "seconds": round(step.seconds(), 3)}
            for step in rehearsal.snapshot.steps
        ],
    }
    if rehearsal.snapshot.status == "SUCCEEDED":
        segments = rehearsal.files.segments
        document |= {
            "rows": segments["rows"],
            "segments": [{key: item[key] for key in ("label", "name", "size")} for item in segments["segments"]],
            "warnings": show.warnings(segments),
        }
    else:
        failure = rehearsal.files.failure or {}
        document["error"] = {
            "name": failure.get("error", rehearsal.snapshot.error),
            "message": failure.get("cause", rehearsal.snapshot.cause),
            "phase": failure.get("phase"),
        }
    return document


def _trouble(rehearsal: Rehearsal) -> Trouble:
    """Say in one line why a run has no good end."""
    document, files = _document(rehearsal), rehearsal.files
    left = "; left in SageMaker: " + ", ".join(rehearsal.leftovers) if rehearsal.leftovers else ""
    if rehearsal.snapshot.status == "SUCCEEDED":
        return Trouble(f"the run succeeded, but something is left in SageMaker: {left[2:]}", document=document)
    if problems := files.problems:
        shown = [problem["message"] for problem in problems["problems"][:_PROBLEMS_SHOWN]]
        more = sum(problems["totals"].values()) - len(shown)
        lines = [*shown, f"and {more:,} more"] if more > 0 else shown
        return Trouble(
            f"{rehearsal.csv} was refused (all problems: {files.directory / results.PROBLEMS}){left}",
            details=tuple(lines),
            document=document,
        )
    return Trouble(f"run {rehearsal.run_id} {failure_line(rehearsal.snapshot, files)}{left}", document=document)


def failure_line(snapshot: Snapshot, files: results.RunFiles) -> str:
    """Say how a run failed: the first error, and where all of it is written."""
    failure = files.failure
    if failure is None:
        cause = f"{snapshot.error}: {snapshot.cause}".strip(": ") or "no reason was given"
        return f"ended {snapshot.status} ({cause})"
    where = files.directory / results.FAILURE
    return f"failed in {failure['phase']}: {failure['error']}: {failure['cause']} (details: {where})"
