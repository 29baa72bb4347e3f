"""Commands for the embedded AWS that `up` keeps running."""

import json
import time
from pathlib import Path
from typing import Any, Final

from local import progress, results, show, terminal
from local.disk import RUNNING_BYTES, require_space
from local.errors import UserError
from local.follow import Follower, Snapshot
from local.program import PROGRAM
from local.session import UP, Options, start
from local.single_run import failure_line
from local.stack import Stack
from local.steps import StepLog

_POLL_SECONDS: Final = 1.0
_NOT_UP: Final = f"the embedded AWS is not running; start it with: {PROGRAM} up"


def start_up(options: Options, *, stay: bool) -> None:
    """Start the embedded AWS, deploy the stack, and print how to use it.

    Parameters
    ----------
    options
        The user's choices.
    stay
        Whether to report each run until Ctrl-C stops the embedded AWS; otherwise, the function returns and the
        embedded AWS keeps running.

    Raises
    ------
    UserError
        If it cannot be started or is already running, or its disk is full.
    """
    if (running := Stack.find(UP)) is not None:
        raise UserError(
            f"an embedded AWS is already running at {running.cloud.endpoint_url}; stop it with: {PROGRAM} down"
        )
    with progress.screen("live" if terminal.console().is_terminal else "lines") as screen:
        stack = start(options, StepLog(screen.show), UP, detached=True)
    exports = stack.cloud.write_exports()
    _print_usage(stack, exports)
    if not stay:
        terminal.print_line(f"It keeps running; stop it with: {PROGRAM} down")
        return
    terminal.print_line("Waiting for CSVs; Ctrl-C stops everything.")
    try:
        _report_runs(stack)
    except KeyboardInterrupt:
        terminal.print_line("\nStopping.")
    finally:
        stack.cloud.stop()


def shut_down() -> bool:
    """Stop the embedded AWS, and return whether there was one."""
    from embedded_aws.cloud.instance import Cloud  # noqa: PLC0415

    if (cloud := Cloud.recorded(UP)) is None:
        return False
    cloud.stop()
    return True


def print_status(*, as_json: bool) -> None:
    """Print the runs of the embedded AWS.

    Raises
    ------
    UserError
        If it is not running.
    """
    stack = _stack()
    runs, queued = stack.runs(), stack.queued()
    waiting = {run["name"] for run in runs if run["status"] == "RUNNING" and _waits_for_room(stack, run["name"])}
    if as_json:
        listed = [
            {
                "run_id": run["name"],
                "status": run["status"],
                "waits_for_room": run["name"] in waiting,
                "started": run["startDate"].isoformat(),
                "stopped": run["stopDate"].isoformat() if run.get("stopDate") else None,
            }
            for run in runs
        ]
        terminal.print_line(
            json.dumps({"endpoint_url": stack.cloud.endpoint_url, "queued": queued, "runs": listed}, indent=1)
        )
        return
    screen = terminal.console()
    screen.print(f"The embedded AWS is running at {stack.cloud.endpoint_url}")
    if runs:
        screen.print(show.run_table(runs, waiting))
    else:
        screen.print(f"No runs yet: copy a CSV to s3://{stack.incoming_bucket}/incoming/")
    if queued:
        screen.print(f"CSVs in the queue, which start when runs end (max_concurrent_runs): {queued}")


def _waits_for_room(stack: Stack, run_id: str) -> bool:
    snapshot = Follower(stack.client("stepfunctions"), stack.execution_arn(run_id)).look()
    return snapshot is not None and snapshot.waits_for_room


def show_run(run_id: str, *, as_json: bool) -> None:
    """Print the steps and the result of a run.

    Raises
    ------
    UserError
        If no run has this id.
    """
    stack = _stack()
    snapshot = Follower(stack.client("stepfunctions"), stack.execution_arn(_checked(run_id))).look()
    if snapshot is None:
        raise UserError(f"no run has the id {run_id!r}; list the runs with: {PROGRAM} status")
    files = None if snapshot.status == "RUNNING" else _fetch(stack, run_id)
    if as_json:
        terminal.print_line(json.dumps(_document(run_id, snapshot, files), indent=1))
        return
    screen = terminal.console()
    screen.print(f"{run_id}: {snapshot.status.lower()} after {snapshot.seconds:.1f} s")
    screen.print(show.step_table(snapshot.steps))
    if files is None:
        return
    screen.print()
    if snapshot.status == "SUCCEEDED":
        screen.print(show.segment_table(files.segments))
        show.print_notes(screen, [*files.notes, *show.warnings(files.segments)])
    else:
        screen.print(f"It {failure_line(snapshot, files)}")
    screen.print(show.paths(files.present))


def results_of(run_id: str) -> results.RunFiles:
    """Return a run's result files, copying them from the embedded AWS if necessary.

    Raises
    ------
    UserError
        If they were not copied and the embedded AWS does not have them.
    """
    copied = results.RunFiles(results.RESULTS / _checked(run_id))
    if copied.present:
        return copied
    stack = Stack.find(UP)
    if stack is None:
        raise UserError(f"{copied.directory} does not exist, and {_NOT_UP}")
    fetched = _fetch(stack, run_id)
    if not fetched.present:
        fetched.directory.rmdir()
        raise UserError(f"no finished run has the id {run_id!r}; list the runs with: {PROGRAM} status")
    return fetched


def latest_results() -> results.RunFiles:
    """Return the latest successful run of the embedded AWS if it is running, or else the latest copied run.

    Raises
    ------
    UserError
        If there is none.
    """
    if (stack := Stack.find(UP)) is not None and (latest := stack.latest_run()) is not None:
        return results_of(latest)
    return results.newest()


def _stack() -> Stack:
    if (stack := Stack.find(UP)) is None:
        raise UserError(_NOT_UP)
    return stack


def _fetch(stack: Stack, run_id: str) -> results.RunFiles:
    return results.fetch(stack.client("s3"), stack.results_bucket, run_id, results.RESULTS / run_id)


def _checked(run_id: str) -> str:
    """Return the id after checking that it is no path to another folder."""
    if Path(run_id).name != run_id:
        raise UserError(f"{run_id!r} is not the id of a run; list the runs with: {PROGRAM} status")
    return run_id


def _print_usage(stack: Stack, exports: Path) -> None:
    shown = exports.relative_to(Path.cwd()) if exports.is_relative_to(Path.cwd()) else exports
    terminal.print_line(
        f"\nThe embedded AWS is running at {stack.cloud.endpoint_url}, with the stack deployed.\n"
        f"Copy census CSVs to   s3://{stack.incoming_bucket}/incoming/\n"
        f"Results appear in     s3://{stack.results_bucket}/runs/\n\n"
        f"  . {shown}                  # makes any AWS client use it\n"
        f"  aws s3 cp census.csv s3://{stack.incoming_bucket}/incoming/\n"
        f"  {PROGRAM} status\n"
    )


def _report_runs(stack: Stack) -> None:
    """Print a line when a run begins and when it ends, until the embedded AWS is stopped by another command."""
    reported: dict[str, str] = {}
    while Stack.find(UP) is not None:
        # Where the disk is full, the functions and jobs of the embedded AWS fail and are retried for a long time.
        require_space(stack.cloud.directory, RUNNING_BYTES)
        for run in reversed(stack.runs()):
            run_id, status = run["name"], run["status"]
            if reported.get(run_id) != status:
                reported[run_id] = status
                _print_run(run, _outcome(stack, run_id, status))
        time.sleep(_POLL_SECONDS)
    terminal.print_line("The embedded AWS was stopped.")


def _print_run(run: dict[str, Any], text: str) -> None:
    moment = run.get("stopDate") or run["startDate"]
    terminal.console().print(f"{moment.astimezone():%H:%M:%S}  {run['name']}  {text}")


def _outcome(stack: Stack, run_id: str, status: str) -> str:
    if status == "RUNNING":
        return "started"
    files = _fetch(stack, run_id)
    if status == "SUCCEEDED":
        segments = files.segments
        return (
            f"labeled {segments['rows']['labeled']:,} rows in {len(segments['segments'])} segments: "
            f"{files.directory / results.REPORT}"
        )
    snapshot = Follower(stack.client("stepfunctions"), stack.execution_arn(run_id)).look()
    return failure_line(snapshot, files) if snapshot else status


def _document(run_id: str, snapshot: Snapshot, files: results.RunFiles | None) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "status": snapshot.status,
        "seconds": round(snapshot.seconds, 3),
        "steps": [
            {"name": step.name, "outcome": step.outcome, "seconds": round(step.seconds(), 3)} for step in snapshot.steps
        ],
        "failure": files.failure if files else None,
        "segments": files.segments["segments"] if files and snapshot.status == "SUCCEEDED" else None,
        "files": [str(path) for path in files.present] if files else [],
    }
