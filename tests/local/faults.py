"""The fault matrix: every SageMaker operation the stack uses, times every fault that can strike it, times both stages.

``python -m tests.local.faults`` runs it and prints the table. Each case is a CSV of its own, whose faults strike only
what carries its name, so that many cases run at a time in one embedded AWS.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from local.cloud import Cloud
from local.deploy import ROOT, deploy, synth
from tests.local.runs import Run, Runs, eventually

Stage = Literal["pca", "kmeans"]
STAGES: tuple[Stage, Stage] = ("pca", "kmeans")

SETTINGS = {
    "stage": "faults",
    # Two types each, so that there is something to fall back to.
    "training_instance_types": ["ml.c4.xlarge", "ml.m5.large"],
    "hosting_instance_types": ["ml.t2.medium", "ml.m5.large"],
    # A hundred polls, a tenth of a second apart; a teardown's deadline is in real time.
    "training_timeout_seconds": 500,
    "endpoint_timeout_seconds": 500,
    "teardown_timeout_seconds": 60,
}
"""The matrix's copy of the stack gives up sooner, so that what is stuck doesn't hold up the tests."""

TRAINING_TYPE, HOSTING_TYPE = "ml.c4.xlarge", "ml.t2.medium"

THROTTLED, DENIED, BROKEN = "ThrottlingException", "AccessDeniedException", "ConnectionError"
SDK = "SageMaker.SageMakerException"


@dataclass(frozen=True)
class Case:
    """One cell.

    Attributes
    ----------
    operation, fault
        What is struck, by what: the table's columns.
    error
        How the execution must fail; None where it must succeed.
    given
        Faults that bring the operation about in the first place.
    after
        A kind of resource: the fault is put in force once the stage has one.
    janitor
        Whether the run itself can't remove everything, and the janitor must.
    place
        What the fault's name must contain, where that isn't the stage's resources.
    """

    operation: str
    fault: str
    stage: Stage
    error: str | None
    given: tuple[str, ...] = ()
    after: str = ""
    janitor: bool = False
    place: str = ""

    @property
    def label(self) -> str:
        """Its name in a list of tests."""
        given = f"({', '.join(self.given)})" if self.given else ""
        after = "-while-waiting" if self.after else ""
        return f"{self.operation}{given}{after}-{self.fault}-{self.stage}"


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes
    ----------
    left
        What SageMaker still had of it when its execution ended.
    never_removed
        What it still had after the janitor.
    """

    case: Case
    run: Run
    status: str
    error: str | None
    cause: str
    seconds: float
    labels_correct: bool
    result_moved: bool
    input_there: bool
    left: list[str]
    never_removed: list[str]

    def complaints(self) -> list[str]:
        """Say what isn't as it must be."""
        wanted = "SUCCEEDED" if self.case.error is None else "FAILED"
        found = []
        if self.status != wanted:
            found.append(f"is {self.status}: {self.error}: {self.cause[:300]}")
        elif self.error != self.case.error:
            found.append(f"failed as {self.error} instead of {self.case.error}: {self.cause[:300]}")
        if wanted == "SUCCEEDED" and not self.labels_correct:
            found.append("its labels are wrong")
        if wanted == "FAILED" and self.result_moved:
            found.append("a failed run wrote a result")
        if not self.input_there:
            found.append("the input is gone")
        if self.left and not self.case.janitor:
            found.append(f"left {', '.join(self.left)}")
        if self.never_removed:
            found.append(f"the janitor left {', '.join(self.never_removed)}")
        return found


def matrix() -> list[Case]:
    """Return all cases, the slowest first."""
    cases = [*_lives(), *_launches(), *_waits(), *_inference(), *_teardown(), *_storage()]
    return sorted(cases, key=lambda case: "stuck" not in case.label)


def _every(operation: str, faults: dict[str, str | None], **more: Any) -> Iterator[Case]:
    for stage in STAGES:
        for fault, error in faults.items():
            yield Case(operation, fault, stage, error, **more)


# A fault that strikes five times outlasts botocore's own four attempts: the state machine must try again.
_RECOVERED: dict[str, str | None] = {"throttle*5": None, "error*1": None, "reset*1": None}
_LASTING: dict[str, str | None] = {"throttle": THROTTLED, "denied": DENIED}


def _launches() -> Iterator[Case]:
    once = {**_RECOVERED, "lost*1": None, "slow=1": None}
    always = {**_LASTING, "unavailable": "ServiceUnavailable", "invalid": "ValidationException", "reset": BROKEN}
    quota = {"limit": "ResourceLimitExceeded"}
    yield from _every("CreateTrainingJob", {**once, **always, **quota, f"quota={TRAINING_TYPE}": None})
    yield from _every("CreateModel", {**once, **always})
    yield from _every("CreateEndpointConfig", {**once, **always})
    yield from _every("CreateEndpoint", {**once, **always, **quota, f"quota={HOSTING_TYPE}": None})
    # A launcher looks whether there is something already.
    yield from _every("DescribeTrainingJob", {**_RECOVERED, **_LASTING})
    yield from _every("DescribeEndpoint", {**_RECOVERED, **_LASTING})
    # Where there is, it asks whose it is, and an endpoint's config for the instance type.
    yield from _every("ListTags", {**_RECOVERED, **_LASTING}, given=("TrainingJob:capacity*1",))
    yield from _every("DescribeEndpointConfig", {**_RECOVERED, **_LASTING}, given=("Endpoint:capacity*1",))


def _waits() -> Iterator[Case]:
    faults = {"throttle*3": None, "error*3": None, "reset*3": None, "throttle": SDK, "denied": SDK}
    yield from _every("DescribeTrainingJob", faults, given=("TrainingJob:slow=2",), after="TrainingJob")
    yield from _every("DescribeEndpoint", faults, given=("Endpoint:slow=2",), after="Endpoint")


def _inference() -> Iterator[Case]:
    once = {**_RECOVERED, "slow=1": None, "lost*1": None, "model_error*1": None, "not_ready*5": None}
    always = {**_LASTING, "model_error=no": "ModelError"}
    failed = dict.fromkeys(always, "States.ExceedToleratedFailureThreshold")
    yield from _every("InvokeEndpoint", {**once, **failed})


def _teardown() -> Iterator[Case]:
    deletes = {**_RECOVERED, "lost*1": None}
    for operation in ("DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel"):
        yield from _every(operation, deletes)
        yield from _every(operation, _LASTING, janitor=True)
    for operation in ("ListEndpoints", "ListEndpointConfigs", "ListModels", "ListTrainingJobs"):
        yield from _every(operation, _RECOVERED)
        yield from _every(operation, _LASTING, janitor=True)
    # A job that runs when its run fails is stopped.
    stuck, timed_out = ("TrainingJob:stuck",), "TrainingJobTimedOut"
    yield from _every("StopTrainingJob", dict.fromkeys(deletes, timed_out), given=stuck)
    yield from _every("StopTrainingJob", dict.fromkeys(_LASTING, timed_out), given=stuck, janitor=True)


def _lives() -> Iterator[Case]:
    both = {"slow=2": None, "capacity*1": None, "capacity": "InsufficientCapacity"}
    yield from _every("TrainingJob", {**both, "failed=why": "TrainingJobFailed", "stuck": "TrainingJobTimedOut"})
    yield from _every("Endpoint", {**both, "failed=why": "EndpointFailed"})
    yield from _every("Endpoint", {"stuck": "EndpointTimedOut", "stuck_deleting": "TeardownTimedOut"}, janitor=True)


_WRITTEN = {"pca": "/projected/", "kmeans": "/labeled/"}


def _storage() -> Iterator[Case]:
    failed = "States.ExceedToleratedFailureThreshold"
    for stage in STAGES:
        for fault, error in {"slowdown*5": None, "error*1": None, "reset*1": None, "denied": failed}.items():
            yield Case("s3.PutObject", fault, stage, error, place=_WRITTEN[stage])
            yield Case("s3.GetObject", fault, stage, error, place=f"/models/{stage}/", after="Endpoint")
        yield Case("s3.PutObject", "denied", stage, "TrainingJobFailed", place=f"/models/{stage}/")


@contextmanager
def deployed() -> Iterator[Runs]:
    """Have the matrix's copy of the stack in an embedded AWS of its own."""
    assembly = synth(ROOT / "build" / "faults.out", {"segmentation": SETTINGS})
    with tempfile.TemporaryDirectory(prefix="faults-") as directory, Cloud.start(Path(directory)) as cloud:
        yield Runs(cloud, deploy(cloud, assembly))


def run_matrix(runs: Runs, cases: Sequence[Case], *, workers: int = 14) -> Iterator[Outcome]:
    """Run all cases, let the janitor clean up once the faults are gone, and yield what came of each."""
    with ThreadPoolExecutor(workers) as pool:
        ended = list(pool.map(lambda numbered: _run_case(runs, *numbered), enumerate(cases)))
    runs.clear_faults()
    runs.is_swept("")
    left = runs.leftovers()
    for outcome in ended:
        never_removed = [each for each in left if outcome.run.run_id in each]
        yield Outcome(**{**vars(outcome), "never_removed": never_removed})


def _run_case(runs: Runs, number: int, case: Case) -> Outcome:
    name = f"f{number:03}"
    place = f"{name}-*{case.place}" if case.place else f"{name}-*-{case.stage}"
    target, spec = case.operation, f"{case.operation}@{place}:{case.fault}"
    for given in case.given:
        life, _, fault = given.partition(":")
        runs.add_faults(f"{life}@{name}-*-{case.stage}:{fault}")
    if not case.after:
        runs.add_faults(spec)
    began = time.monotonic()
    run = runs.upload(f"{name}.csv")
    if case.after:
        resource = f"{case.after} {runs.stack}-{run.run_id}-{case.stage}"
        eventually(lambda: runs.leftovers(resource), 60, f"{target}: there is no {resource}")
        runs.add_faults(spec)
    execution = runs.end(run, 200)
    seconds = time.monotonic() - began
    left = runs.leftovers(run.run_id)
    succeeded = execution["status"] == "SUCCEEDED"
    return Outcome(
        case=case,
        run=run,
        status=execution["status"],
        error=execution.get("error"),
        cause=execution.get("cause", ""),
        seconds=seconds,
        labels_correct=succeeded and runs.has_correct_labels(run),
        result_moved=not succeeded and "manifest.json" in runs.written(run),
        input_there=runs.input_is_there(run),
        left=left,
        never_removed=[],
    )


def table(outcomes: Sequence[Outcome]) -> Table:
    """Lay the matrix out for people."""
    shown = Table(title="What strikes, and how the run ends")
    for column in ("operation", "fault", "stage", "ends", "seconds", "left at the end", "after the janitor", ""):
        shown.add_column(column, justify="right" if column == "seconds" else "left")
    for outcome in sorted(outcomes, key=lambda each: (each.case.operation, each.case.label)):
        case, complaints = outcome.case, outcome.complaints()
        given = f" ({', '.join(case.given)})" if case.given else " (while waiting)" if case.after else ""
        shown.add_row(
            case.operation + given,
            case.fault + (f" in {case.place}" if case.place else ""),
            case.stage,
            outcome.error or outcome.status,
            f"{outcome.seconds:.1f}",
            str(len(outcome.left)),
            str(len(outcome.never_removed)),
            "; ".join(complaints) or "as it must",
            style="red" if complaints else None,
        )
    return shown


def main() -> None:
    """Run the matrix, or a part of it, and print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.local.faults", description=__doc__)
    parser.add_argument("only", nargs="*", help="only cases whose name contains one of these texts")
    parser.add_argument("--workers", type=int, default=14, help="cases at a time (default: %(default)s)")
    options = parser.parse_args()
    cases = [case for case in matrix() if not options.only or any(text in case.label for text in options.only)]
    began = time.monotonic()
    with deployed() as runs:
        outcomes = list(run_matrix(runs, cases, workers=options.workers))
    console = Console(width=None if sys.stdout.isatty() else 170)
    console.print(table(outcomes))
    wrong = [outcome for outcome in outcomes if outcome.complaints()]
    console.print(
        f"{len(outcomes)} cases in {time.monotonic() - began:.0f} s: {len(outcomes) - len(wrong)} as they must, "
        f"{len(wrong)} not; {sum(len(outcome.never_removed) for outcome in outcomes)} resources left"
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
