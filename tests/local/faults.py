"""The fault matrix: every SageMaker operation of the stack, with every fault that can occur in it, in both stages.

``python -m tests.local.faults`` runs it and prints the table. Each case uploads a CSV of its own. Its faults apply only
to resources whose names contain the name of that CSV, so many cases can run at the same time in one embedded AWS.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from embedded_aws.cloud.deploy import deploy
from embedded_aws.cloud.instance import Cloud
from local.synth import ROOT, synth
from tests.local.runs import Run, Runs, eventually

Stage = Literal["pca", "kmeans"]
STAGES: tuple[Stage, Stage] = ("pca", "kmeans")
PHASES: dict[str, str] = {"pca": "Pca", "kmeans": "KMeans"}

SETTINGS = {
    "stage": "faults",
    # Two types each, so that there is something to fall back to.
    "training_instance_types": ["ml.c4.xlarge", "ml.m5.large"],
    "hosting_instance_types": ["ml.t2.medium", "ml.m5.large"],
    # At the embedded AWS's speed this is about eighty polls, 0.3 s apart. The teardown's limit is in real seconds.
    "training_timeout_seconds": 1_200,
    "endpoint_timeout_seconds": 1_200,
    "teardown_timeout_seconds": 60,
    # All cases at a time.
    "max_concurrent_runs": 1_000,
    # There are hundreds of runs, and none of these tests looks at how stable the labels are.
    "refine_restarts": 2,
    "stability_refits": 2,
}
"""The settings of the stack under test. Its time limits are short, so that stuck resources do not delay the tests."""

TRAINING_TYPE, HOSTING_TYPE = "ml.c4.xlarge", "ml.t2.medium"

EVERY_CASE = bool(os.environ.get("EVERY_CASE"))
"""Whether the tests try every case, as in ``make nightly``, and not only those of ``make test``."""

_HOLD_SECONDS = 5

THROTTLED, DENIED, BROKEN = "ThrottlingException", "AccessDeniedException", "ConnectionError"
SDK = "SageMaker.SageMakerException"


@dataclass(frozen=True)
class Case:
    """One cell of the matrix.

    Attributes
    ----------
    operation, fault
        The operation, and the faults that occur in it, in this order.
    error
        The error with which the execution must fail; None if it must succeed.
    given
        Further faults, without which the run would not call the operation.
    during
        The state in which the execution is held while the fault is added; empty if it is added before the run.
    janitor
        Whether the run cannot remove all its resources itself, so that the janitor must.
    where
        The fault's ``@name``; by default it matches the run's resources of the stage.
    body
        The content of the CSV; None for a valid census.
    applies
        Whether the run applies the model of an earlier run.
    """

    operation: str
    fault: str
    stage: Stage | Literal[""]
    error: str | None
    given: tuple[str, ...] = ()
    during: str = ""
    janitor: bool = False
    where: str = "{name}-*-{stage}"
    body: bytes | None = None
    applies: bool = False

    @property
    def label(self) -> str:
        """The name of the case in a list of tests."""
        given = f"({', '.join(self.given)})" if self.given else ""
        during = f"-during-{self.during}" if self.during else ""
        return f"{self.operation}{given}{during}-{self.fault}{self.place}-{self.stage}".replace(" ", ",")

    @property
    def place(self) -> str:
        """The part of the S3 key that the fault applies to; empty for a fault of another service."""
        return self.where.partition("*")[2] if "/" in self.where else ""


@dataclass(frozen=True)
class Outcome:
    """How the run of a case ended.

    Attributes
    ----------
    never_struck
        Faults of the case that never occurred.
    left
        The run's SageMaker resources that still existed when its execution ended.
    never_removed
        Those that still existed after the janitor had run.
    """

    case: Case
    run: Run
    status: str
    error: str | None
    cause: str
    seconds: float
    labels_correct: bool
    is_latest: bool
    input_there: bool
    never_struck: list[str]
    left: list[str]
    never_removed: list[str]

    def complaints(self) -> list[str]:
        """Return one sentence for each expectation that was not met."""
        wanted = "SUCCEEDED" if self.case.error is None else "FAILED"
        found = []
        if self.status != wanted:
            found.append(f"is {self.status}: {self.error}: {self.cause[:300]}")
        elif self.error != self.case.error:
            found.append(f"failed as {self.error} instead of {self.case.error}: {self.cause[:300]}")
        if wanted == "SUCCEEDED" and not self.labels_correct:
            found.append("its labels are wrong")
        if wanted == "FAILED" and self.is_latest:
            found.append("latest.json points to a failed run")
        if not self.input_there:
            found.append("the input was deleted")
        if self.never_struck:
            found.append(f"{', '.join(self.never_struck)} never occurred")
        if self.left and not self.case.janitor:
            found.append(f"left {', '.join(self.left)}")
        if self.never_removed:
            found.append(f"the janitor left {', '.join(self.never_removed)}")
        return found


def matrix() -> list[Case]:
    """Return all cases, the slowest first."""
    cases = [*_lives(), *_launches(), *_waits(), *_inference(), *_teardown(), *_storage()]
    return sorted(cases, key=lambda case: "stuck" not in case.label)


def in_one_stage(cases: Sequence[Case]) -> list[Case]:
    """Return each operation and fault in one of the two stages, by turns, as ``make test`` tries them."""
    pairs: dict[tuple[Any, ...], list[Case]] = {}
    for case in cases:
        pairs.setdefault((case.operation, case.fault, case.given, case.error), []).append(case)
    return [pair[turn % len(pair)] for turn, pair in enumerate(pairs.values())]


def _every(operation: str, faults: dict[str, str | None], **more: Any) -> Iterator[Case]:
    for stage in STAGES:
        for fault, error in faults.items():
            yield Case(operation, fault, stage, error, **more)


# Five throttles outlast botocore's own four attempts: the state machine must try again.
_PASSING = "throttle*5 error*1 unavailable*1 reset*1"
_READ: dict[str, str | None] = {_PASSING: None, "throttle": THROTTLED, "denied": DENIED}
# The operation is carried out but its response is lost; the next attempt finds it done.
_CHANGE: dict[str, str | None] = {f"{_PASSING} lost*1": None, "throttle": THROTTLED, "denied": DENIED}


def _launches() -> Iterator[Case]:
    create = _CHANGE | {"error": "InternalFailure", "invalid": "ValidationException", "reset": BROKEN}
    # An account whose quotas are too small fails the run; one whose quotas are in use makes it wait.
    limit = {"limit": "ResourceLimitExceeded", "in_use*3": None}
    yield from _every("CreateTrainingJob", create | limit | {f"quota={TRAINING_TYPE}": None})
    yield from _every("CreateModel", create)
    yield from _every("CreateEndpointConfig", create)
    yield from _every("CreateEndpoint", create | limit | {f"quota={HOSTING_TYPE}": None, "slow=1": None})
    # A launcher first checks whether the resource exists already.
    yield from _every("DescribeTrainingJob", _READ)
    yield from _every("DescribeEndpoint", _READ)
    # If there is one, the launcher reads its tags to see which run owns it, and the endpoint's config for its type.
    yield from _every("ListTags", _READ, given=("TrainingJob:capacity*1",))
    yield from _every("DescribeEndpointConfig", _READ, given=("Endpoint:capacity*1",))
    # A create request whose response was lost finds the name taken when it is sent again.
    yield from _every("DescribeModel", _READ, given=("CreateModel:lost*1",))


def _waits() -> Iterator[Case]:
    """Faults in the requests that the state machine itself sends while it waits."""
    faults: dict[str, str | None] = {"throttle*1 error*1 reset*1": None, "throttle": SDK, "denied": SDK}
    for stage in STAGES:
        for what in ("TrainingJob", "Endpoint"):
            wait = f"WaitFor{PHASES[stage]}{what.removesuffix('Job')}"
            for fault, error in faults.items():
                yield Case(f"Describe{what}", fault, stage, error, during=wait)


def _inference() -> Iterator[Case]:
    passing = {f"{_PASSING} lost*1 model_error*1 not_ready*1": None, "slow=1": None}
    lasting = {"unavailable": "ServiceUnavailable", "reset": BROKEN, "model_error=no": "ModelError"}
    yield from _every("InvokeEndpoint", passing | lasting | {"throttle": THROTTLED, "denied": DENIED})


def _teardown() -> Iterator[Case]:
    deletes = ("DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel")
    lists = ("ListEndpoints", "ListEndpointConfigs", "ListModels", "ListTrainingJobs")
    for operation in (*deletes, *lists):
        for fault, error in (_CHANGE if operation in deletes else _READ).items():
            yield from _every(operation, {fault: error}, janitor=error is not None)
    # When a run fails, its training job is stopped if it is still running.
    for fault, error in _CHANGE.items():
        timed_out: dict[str, str | None] = {fault: "TrainingJobTimedOut"}
        yield from _every("StopTrainingJob", timed_out, given=("TrainingJob:stuck",), janitor=error is not None)


def _lives() -> Iterator[Case]:
    both: dict[str, str | None] = {"slow=2": None, "capacity*1": None, "capacity": "InsufficientCapacity"}
    yield from _every("TrainingJob", both | {"failed=why": "TrainingJobFailed", "stuck": "TrainingJobTimedOut"})
    yield from _every("Endpoint", both | {"failed=why": "EndpointFailed"})
    yield from _every("Endpoint", {"stuck": "EndpointTimedOut", "stuck_deleting": "TeardownTimedOut"}, janitor=True)


_INFERENCE = {"pca": "Project", "kmeans": "Label"}
_WRITTEN = {"pca": "/projected/", "kmeans": "/labeled/"}


def _storage() -> Iterator[Case]:
    faults = {"slowdown*5 error*1 reset*1": None, "denied": "AccessDenied"}
    for stage in STAGES:
        for fault, error in faults.items():
            yield Case("s3.PutObject", fault, stage, error, where=f"{{name}}-*{_WRITTEN[stage]}")
            yield Case(
                "s3.GetObject", fault, stage, error, where=f"{{name}}-*/models/{stage}/", during=_INFERENCE[stage]
            )
        yield Case("s3.PutObject", "denied", stage, "TrainingJobFailed", where=f"{{name}}-*/models/{stage}/")


@contextmanager
def deployed(inference: Literal["endpoint", "function"] = "endpoint") -> Iterator[Runs]:
    """Deploy the matrix's copy of the stack into an embedded AWS of its own."""
    out = ROOT / "build" / f"faults-{inference}.out"
    assembly = synth(out, {"segmentation": {**SETTINGS, "inference": inference}})
    with (
        tempfile.TemporaryDirectory(prefix="faults-") as directory,
        Cloud.start(Path(directory), wait_scale=0.05) as cloud,
    ):
        yield Runs(cloud, deploy(cloud, assembly))


def run_matrix(runs: Runs, cases: Sequence[Case], *, workers: int = 14) -> Iterator[Outcome]:
    """Run all cases, let the janitor clean up once the faults are gone, and yield what came of each."""
    with ThreadPoolExecutor(workers) as pool:
        ended = list(pool.map(lambda numbered: _run_case(runs, *numbered), enumerate(cases)))
    runs.clear_faults()
    runs.is_swept("")
    left = runs.leftovers()
    for outcome in ended:
        yield replace(outcome, never_removed=[each for each in left if outcome.run.run_id in each])


def _run_case(runs: Runs, number: int, case: Case) -> Outcome:
    name = f"f{number:03}"
    given = [fault.replace(":", f"@{name}-*-{case.stage}:") for fault in case.given]
    where = case.where.format(name=name, stage=case.stage)
    faults = [f"{case.operation}@{where}:{fault}" for fault in case.fault.split()]
    hold = f"State.{case.during}@{name}-:slow={_HOLD_SECONDS}*1"
    runs.add_faults(*given, *([hold] if case.during else faults))
    began = time.monotonic()
    run = (runs.upload_to_series if case.applies else runs.upload)(f"{name}.csv", case.body)
    if case.during:
        eventually(lambda: runs.has_struck(hold), 150, f"{case.label}: {hold} hasn't struck", every=0.5)
        runs.add_faults(*faults)
    try:
        execution = runs.end(run, 280)
    except AssertionError as never:
        execution = {"status": "RUNNING", "cause": str(never)}
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
        is_latest=runs.latest_run() == run.run_id,
        input_there=runs.input_is_there(run),
        never_struck=[fault["fault"] for fault in runs.faults_on(name) if not fault["struck"]],
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
        given = f" ({', '.join(case.given)})" if case.given else f" (in {case.during})" if case.during else ""
        shown.add_row(
            case.operation + given,
            case.fault + (f" in {case.place}" if case.place else ""),
            case.stage,
            outcome.error or outcome.status,
            f"{outcome.seconds:.1f}",
            str(len(outcome.left)),
            str(len(outcome.never_removed)),
            "; ".join(complaints) or "as expected",
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
        f"{len(outcomes)} cases in {time.monotonic() - began:.0f} s: {len(outcomes) - len(wrong)} as expected, "
        f"{len(wrong)} not; {sum(len(outcome.never_removed) for outcome in outcomes)} resources left"
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
