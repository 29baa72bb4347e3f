"""The embedded AWS that stays: brought up, asked for its runs, taken down."""

import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from local import results, show
from local.errors import Trouble
from local.follow import Follower, Snapshot
from local.rehearsal import failure_line
from local.session import UP, Journal, Options, Stack, start

_POLL_SECONDS: Final = 1.0
_NOT_UP: Final = "the embedded AWS isn't running; start it with: python -m local up"


def bring_up(options: Options, *, stay: bool) -> None:
    """Start the embedded AWS, deploy the stack, and say how to use it.

    Parameters
    ----------
    options
        What the user chose.
    stay
        Whether to tell of each run until Ctrl-C, which is the way to stop it then; else it keeps running.

    Raises
    ------
    Trouble
        When it can't be started, or runs already.
    """
    if (running := Stack.find(UP)) is not None:
        raise Trouble(
            f"an embedded AWS is running already at {running.cloud.endpoint_url}; python -m local down stops it"
        )
    with show.screen("live" if show.console().is_terminal else "lines") as screen:
        stack = start(options, Journal(screen.show), UP, detached=True)
    exports = stack.cloud.write_exports()
    _tell_how(stack, exports)
    if not stay:
        sys.stdout.write("It keeps running; stop it with: python -m local down\n")
        return
    sys.stdout.write("Waiting for CSVs; Ctrl-C stops everything.\n")
    try:
        _tell_of_runs(stack)
    except KeyboardInterrupt:
        sys.stdout.write("\nStopping.\n")
    finally:
        take_down()


def take_down() -> bool:
    """Stop the embedded AWS; return whether there was one."""
    from embedded_aws.cloud.instance import Cloud  # noqa: PLC0415

    if (cloud := Cloud.recorded(UP)) is None:
        return False
    cloud.stop()
    return True


def tell_status(*, as_json: bool) -> None:
    """List the runs of the embedded AWS.

    Raises
    ------
    Trouble
        When it isn't running.
    """
    stack = _stack()
    runs = stack.runs()
    if as_json:
        listed = [
            {
                "run_id": run["name"],
                "status": run["status"],
                "started": run["startDate"].isoformat(),
                "stopped": run["stopDate"].isoformat() if run.get("stopDate") else None,
            }
            for run in runs
        ]
        sys.stdout.write(json.dumps({"endpoint_url": stack.cloud.endpoint_url, "runs": listed}, indent=1) + "\n")
        return
    screen = show.console()
    screen.print(f"The embedded AWS is up at {stack.cloud.endpoint_url}")
    if runs:
        screen.print(show.run_table(runs))
    else:
        screen.print(f"No runs yet: copy a CSV to s3://{stack.incoming_bucket}/incoming/")


def show_run(run_id: str, *, as_json: bool) -> None:
    """Show a run's steps and what came of it.

    Raises
    ------
    Trouble
        When no run is called so.
    """
    stack = _stack()
    snapshot = Follower(stack.client("stepfunctions"), stack.execution_arn(_checked(run_id))).look()
    if snapshot is None:
        raise Trouble(f"no run is called {run_id!r}; python -m local status lists them")
    files = None if snapshot.status == "RUNNING" else _fetch(stack, run_id)
    if as_json:
        sys.stdout.write(json.dumps(_document(run_id, snapshot, files), indent=1) + "\n")
        return
    screen = show.console()
    screen.print(f"{run_id}: {snapshot.status.lower()} after {snapshot.seconds:.1f} s")
    screen.print(show.step_table(snapshot.steps))
    if files is None:
        return
    screen.print()
    if snapshot.status == "SUCCEEDED":
        screen.print(show.segment_table(files.segments))
        show.notes(screen, [*files.notes, *show.warnings(files.segments)])
    else:
        screen.print(f"It {failure_line(snapshot, files)}", markup=False)
    screen.print(show.paths(files.present))


def results_of(run_id: str) -> results.RunFiles:
    """Return a run's result files, fetched from the embedded AWS where they aren't copied yet.

    Raises
    ------
    Trouble
        When they are nowhere.
    """
    copied = results.RunFiles(results.RESULTS / _checked(run_id))
    if copied.present:
        return copied
    stack = Stack.find(UP)
    if stack is None:
        raise Trouble(f"{copied.directory} doesn't exist, and {_NOT_UP}")
    fetched = _fetch(stack, run_id)
    if not fetched.present:
        fetched.directory.rmdir()
        raise Trouble(f"no finished run is called {run_id!r}; python -m local status lists them")
    return fetched


def latest_results() -> results.RunFiles:
    """Return the latest successful run of the embedded AWS where it is up, else the latest that was copied.

    Raises
    ------
    Trouble
        When there is none.
    """
    if (stack := Stack.find(UP)) is not None and (latest := stack.latest_run()) is not None:
        return results_of(latest)
    return results.newest()


def _stack() -> Stack:
    if (stack := Stack.find(UP)) is None:
        raise Trouble(_NOT_UP)
    return stack


def _fetch(stack: Stack, run_id: str) -> results.RunFiles:
    return results.fetch(stack.client("s3"), stack.results_bucket, run_id, results.RESULTS / run_id)


def _checked(run_id: str) -> str:
    """Refuse what would lead out of the results' folder."""
    if Path(run_id).name != run_id:
        raise Trouble(f"{run_id!r} is not a run's id; python -m local status lists them")
    return run_id


def _tell_how(stack: Stack, exports: Path) -> None:
    shown = exports.relative_to(Path.cwd()) if exports.is_relative_to(Path.cwd()) else exports
    sys.stdout.write(
        f"\nThe embedded AWS is up at {stack.cloud.endpoint_url}, with the stack deployed.\n"
        f"Copy census CSVs to   s3://{stack.incoming_bucket}/incoming/\n"
        f"Results come out in   s3://{stack.results_bucket}/runs/\n\n"
        f"  . {shown}                  # makes any AWS client talk to it\n"
        f"  aws s3 cp census.csv s3://{stack.incoming_bucket}/incoming/\n"
        f"  python -m local status\n\n"
    )


def _tell_of_runs(stack: Stack) -> None:
    """Print a line when a run begins and one when it ends, until the embedded AWS is stopped elsewhere."""
    told: dict[str, str] = {}
    while Stack.find(UP) is not None:
        for run in reversed(stack.runs()):
            run_id, status = run["name"], run["status"]
            if told.get(run_id) != status:
                told[run_id] = status
                _say(run, _outcome(stack, run_id, status))
        time.sleep(_POLL_SECONDS)
    sys.stdout.write("The embedded AWS was stopped.\n")


def _say(run: dict[str, Any], text: str) -> None:
    moment = run.get("stopDate") or run["startDate"]
    show.console().print(f"{moment.astimezone():%H:%M:%S}  {run['name']}  {text}", markup=False)


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
