"""Runs CSVs through the stack, in an embedded AWS that is started for them and stopped afterwards."""

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from contract.run_settings import Mode
from local import progress, results, show, terminal
from local.disk import RUNNING_BYTES, require_space, require_writable
from local.errors import UserError
from local.follow import Follower, Snapshot
from local.session import DEPLOY, SERVER_LOG, START, SYNTH, Options, running
from local.stack import Stack
from local.steps import StepLog

Output = Literal["full", "quiet", "json"]
"""What is printed: progress and result, one line, or one JSON document."""

_PROBLEMS_SHOWN: Final = 8


@dataclass(frozen=True)
class EndedRun:
    """A run that has ended, in success or failure.

    Attributes
    ----------
    csv
        The input.
    synthetic
        Whether the input was generated.
    snapshot
        The execution at its end.
    files
        The copied result files.
    leftovers
        Resources of the run that still exist in SageMaker; empty after a correct run.
    seconds
        The time that each part took, and ``total``.
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
        """Whether the counties are labeled and nothing is left in SageMaker."""
        return self.snapshot.status == "SUCCEEDED" and not self.leftovers


def run_csvs(csvs: Sequence[Path], out: Path | None, options: Options, *, output: Output, apply: bool = False) -> None:
    """Run CSVs through the stack, one after the other as one series, and print the results.

    A run that does not succeed is the last one.

    Parameters
    ----------
    csvs
        In the order of their runs; none generates a synthetic census.
    out
        Where the result files are copied to: of one CSV to this folder, of several each to a folder in it that has the
        id of the run as its name. ``None`` selects ``results/<run id>``.
    options
        The options of the embedded AWS.
    output
        What is printed.
    apply
        Whether the runs after the first one apply its model instead of training their own.

    Raises
    ------
    UserError
        If a CSV cannot be read, the embedded AWS cannot run, a run fails, or it leaves something in SageMaker.
    """
    began = time.time()
    require_writable(out or results.RESULTS, "--out" if out else "")
    mode: progress.Mode = "silent" if output != "full" else "live" if terminal.console().is_terminal else "lines"
    with _inputs(csvs) as paths, progress.screen(mode) as screen:
        runs = _run_all(paths, out, options, StepLog(screen.show), synthetic=not csvs, apply=apply)
    for ended in runs:
        ended.seconds["total"] = round(time.time() - began, 3)
    succeeded = [ended for ended in runs if ended.succeeded]
    if output != "json":
        for ended in succeeded:
            _print_line(ended) if output == "quiet" else _print_result(ended)
    documents = [_document(ended) for ended in runs]
    document = documents[0] if len(csvs) <= 1 else {"runs": documents}
    if len(succeeded) < len(runs):
        raise _failure(runs[-1], document)
    if output == "json":
        terminal.print_line(json.dumps(document, indent=1))


def _run_all(
    csvs: Sequence[Path], out: Path | None, options: Options, log: StepLog, *, synthetic: bool, apply: bool
) -> list[EndedRun]:
    """Run CSVs until one does not succeed."""
    runs: list[EndedRun] = []
    with running(options, log) as stack:
        for csv in csvs:
            mode: Mode = "apply" if apply and runs else "train"
            runs.append(_run(stack, csv, out, log, mode=mode, synthetic=synthetic, one_of_several=len(csvs) > 1))
            if not runs[-1].succeeded:
                break
    return runs


def _run(
    stack: Stack, csv: Path, out: Path | None, log: StepLog, *, mode: Mode, synthetic: bool, one_of_several: bool
) -> EndedRun:
    with log.step("Upload", "the CSV to be stored"):
        run_id = stack.upload(csv, mode)
    snapshot = _follow(stack, run_id, log)
    with log.step("Copy results", "the result files"):
        directory = out if out and not one_of_several else (out or results.RESULTS) / run_id
        files = results.fetch(stack.client("s3"), stack.results_bucket, run_id, directory)
    with log.step("Look for leftovers", "SageMaker to list its resources"):
        leftovers = stack.leftovers()
    seconds = {
        "start": log.seconds(START),
        "synth": log.seconds(SYNTH),
        "deploy": log.seconds(DEPLOY),
        "execution": round(snapshot.seconds, 3),
    }
    return EndedRun(csv, synthetic, run_id, snapshot, files, leftovers, seconds)


def _follow(stack: Stack, run_id: str, log: StepLog) -> Snapshot:
    def show_steps(snapshot: Snapshot) -> None:
        # Where the disk is full, the functions and jobs of the embedded AWS fail and are retried for a long time.
        require_space(stack.cloud.directory, RUNNING_BYTES)
        log.include(snapshot.steps)

    follower = Follower(stack.client("stepfunctions"), stack.execution_arn(run_id))
    try:
        return follower.watch(show_steps)
    except TimeoutError as error:
        raise UserError(f"{error}; the embedded AWS's log is {SERVER_LOG}") from error


@contextmanager
def _inputs(csvs: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """Provide the user's CSVs after checking that they can be read, or a synthetic one."""
    for csv in csvs:
        _check_readable(csv)
    if csvs:
        yield csvs
        return
    from local import synthetic_census  # noqa: PLC0415 - imports NumPy, which is slow

    with tempfile.TemporaryDirectory(prefix="census-") as directory:
        path = Path(directory) / synthetic_census.FILE_NAME
        synthetic_census.write(path)
        yield [path]


def _check_readable(csv: Path) -> None:
    if csv.is_dir():
        raise UserError(f"{csv} is a folder; give a CSV file")
    try:
        with csv.open("rb") as file:
            file.read(1)
    except FileNotFoundError:
        raise UserError(f"{csv} does not exist; give a census CSV, or none for a synthetic one") from None
    except OSError as error:
        raise UserError(f"cannot read {csv}: {error.strerror or error}") from error


def _print_line(ended: EndedRun) -> None:
    rows, segments = ended.files.segments["rows"], ended.files.segments["segments"]
    terminal.print_line(f"{rows['labeled']:,} rows in {len(segments)} segments: {ended.files.directory}")


def _print_result(ended: EndedRun) -> None:
    screen, segments = terminal.console(), ended.files.segments
    screen.print()
    screen.print(show.segment_table(segments))
    show.print_notes(screen, [*ended.files.notes, *show.warnings(segments)])
    screen.print("\nNothing is left in SageMaker: no endpoint, endpoint config, model or running training job.")
    screen.print(show.timing(ended.seconds))
    screen.print("\nResults:")
    screen.print(show.paths(ended.files.present))


def _document(ended: EndedRun) -> dict[str, Any]:
    """Return what ``--json`` prints of a run."""
    document: dict[str, Any] = {
        "run_id": ended.run_id,
        "status": ended.snapshot.status,
        "input": ended.csv.name if ended.synthetic else str(ended.csv),
        "synthetic": ended.synthetic,
        "out": str(ended.files.directory),
        "files": [path.name for path in ended.files.present],
        "left_in_sagemaker": ended.leftovers,
        "seconds": dict(ended.seconds),
        "steps": [
            {"name": step.name, "outcome": step.outcome, "seconds": round(step.seconds(), 3)}
            for step in ended.snapshot.steps
        ],
    }
    if ended.snapshot.status == "SUCCEEDED":
        segments = ended.files.segments
        document |= {
            "rows": segments["rows"],
            "segments": [{key: item[key] for key in ("label", "name", "size")} for item in segments["segments"]],
            "warnings": show.warnings(segments),
        }
    else:
        failure = ended.files.failure
        document["error"] = {
            "name": failure["error"] if failure else ended.snapshot.error,
            "message": failure["cause"] if failure else ended.snapshot.cause,
            "phase": failure["phase"] if failure else None,
        }
    return document


def _failure(ended: EndedRun, document: dict[str, Any]) -> UserError:
    """Return the error for a run that did not succeed; `document` is what ``--json`` prints."""
    files = ended.files
    left = "; left in SageMaker: " + ", ".join(ended.leftovers) if ended.leftovers else ""
    if ended.snapshot.status == "SUCCEEDED":
        return UserError(f"the run succeeded, but it left resources behind{left}", document=document)
    if problems := files.problems:
        shown = [problem["message"] for problem in problems["problems"][:_PROBLEMS_SHOWN]]
        more = sum(problems["totals"].values()) - len(shown)
        lines = [*shown, f"and {more:,} more"] if more > 0 else shown
        return UserError(
            f"{ended.csv} was refused (all problems: {files.directory / results.PROBLEMS}){left}",
            details=tuple(lines),
            document=document,
        )
    return UserError(f"run {ended.run_id} {failure_line(ended.snapshot, files)}{left}", document=document)


def failure_line(snapshot: Snapshot, files: results.RunFiles) -> str:
    """Return how a run failed: its first error, and the file with the details."""
    failure = files.failure
    if failure is None:
        cause = f"{snapshot.error}: {snapshot.cause}".strip(": ") or "no reason given"
        return f"ended {snapshot.status} ({cause})"
    where = files.directory / results.FAILURE
    return f"failed in {failure['phase']}: {failure['error']}: {failure['cause']} (details: {where})"
