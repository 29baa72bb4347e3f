"""Carries out one trial of a soak and checks what must hold after it."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from contract.layout import LATEST
from tests.local.runs import Run, Runs, object_created
from tests.soak.plan import Trial

_RUN_SECONDS = 400
_REDRIVES = 2
# What a run ends with if one of its shards is missing. S3 reports a missing object as such only to those who may list.
_SHARD_MISSING = ("AccessDenied", "NoSuchKey", "TrainingJobFailed")
# A bad file is refused before any other function is called.
_BEFORE_THE_LAUNCH = ("lambda.prepare", "lambda.record_failure")

Outcome = tuple[str, str | None]
"""A final status, and the error of a run that failed."""


@dataclass(frozen=True)
class Ended:
    """How a trial ended.

    Attributes
    ----------
    status
        The execution's final status, with the error's name if it failed.
    violations
        One sentence for each thing that must hold and does not.
    """

    trial: Trial
    run_id: str
    status: str
    seconds: float
    violations: tuple[str, ...]


def carry_out(runs: Runs, trial: Trial, name: str) -> Ended:
    """Upload the trial's file as ``name``, disturb its run as planned, wait for its end, and check it."""
    began = time.monotonic()
    faults = trial.faults(name)
    runs.add_faults(*faults)
    run = runs.upload(f"{name}.csv", trial.body)
    disturbing = threading.Thread(target=_disturb, args=(runs, trial, run, name), daemon=True)
    disturbing.start()
    try:
        found = runs.end(run, _RUN_SECONDS)
        disturbing.join()
        runs.remove_faults(*faults)
        for _ in range(_REDRIVES if trial.redrive and not trial.bad_file else 0):
            found = _redriven(runs, run, found)
        violations = tuple(_violations(runs, trial, run, found))
        status = found["status"] + (f": {found['error']}" if found.get("error") else "")
    except (AssertionError, ClientError) as error:
        status, violations = "unknown", (f"{type(error).__name__}: {error}",)
    return Ended(trial, run.run_id, status, time.monotonic() - began, violations)


def _redriven(runs: Runs, run: Run, found: dict[str, Any]) -> dict[str, Any]:
    if found["status"] == "SUCCEEDED":
        return found
    runs.client("stepfunctions").redrive_execution(executionArn=run.execution_arn)
    return runs.end(run, _RUN_SECONDS)


def _disturb(runs: Runs, trial: Trial, run: Run, name: str) -> None:
    """Do the trial's action; what comes too late for the run has no effect on it."""
    time.sleep(trial.delay)
    s3 = runs.client("s3")
    if trial.action == "abort":
        try:
            runs.client("stepfunctions").stop_execution(executionArn=run.execution_arn, cause="soak")
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("ExecutionDoesNotExist", "ValidationException"):
                raise
    elif trial.action == "duplicate event":
        runs.announce(object_created(run, runs.incoming))
    elif trial.action == "delete the input":
        s3.delete_object(Bucket=runs.incoming, Key=run.key)
    elif trial.action == "delete a shard":
        s3.delete_object(Bucket=runs.results, Key=f"{run.files.root}prepared/train/part-00000.pbr")
    elif trial.action == "quota for a while":
        with _quota(runs, name):
            time.sleep(1)


@contextmanager
def _quota(runs: Runs, name: str) -> Iterator[None]:
    faults = [f"{kind}@{name}-:quota=0" for kind in ("TrainingJob", "Endpoint")]
    runs.add_faults(*faults)
    yield
    runs.remove_faults(*faults)


def _violations(runs: Runs, trial: Trial, run: Run, found: dict[str, Any]) -> Iterator[str]:
    status, error = found["status"], found.get("error") if found["status"] == "FAILED" else None
    if (status, error) not in (allowed := _allowed(trial)):
        expected = " or ".join(sorted(": ".join(filter(None, each)) for each in allowed))
        yield f"ended {status} ({error}: {str(found.get('cause'))[:300]}); expected {expected}"
    if status == "SUCCEEDED" and not runs.has_correct_labels(run, trial.rows):
        yield "the labels are wrong"
    version = runs.client("s3").get_object(Bucket=runs.incoming, Key=run.key, VersionId=run.version_id)["Body"].read()
    if hashlib.sha256(version).digest() != hashlib.sha256(trial.body).digest():
        yield "the input was changed"
    if not trial.redrive and (prepared := runs.entered(run).count("Prepare")) > 1:
        yield f"it was prepared {prepared} times"
    if left := runs.leftovers(run.run_id):
        for_the_janitor = (
            status == "ABORTED"
            or trial.action == "abort"
            or any(case.janitor for case in trial.lasting)
            # A run that fails at once may not find in the list what it has just created.
            or any(":lag=" in condition for condition in trial.conditions)
        )
        if not for_the_janitor:
            yield f"left {', '.join(left)}"
        elif not runs.is_swept(run.run_id):
            yield f"the janitor left {', '.join(runs.leftovers(run.run_id))}"
    yield from _latest_violations(runs)


def _allowed(trial: Trial) -> set[Outcome]:
    """Return what a trial may end with."""
    succeeded: Outcome = ("SUCCEEDED", None)
    failed: set[Outcome] = {("FAILED", case.error) for case in trial.lasting}
    if trial.bad_file:
        early = [case for case in trial.lasting if case.operation in _BEFORE_THE_LAUNCH]
        ends: set[Outcome] = {("FAILED", case.error) for case in early} or {("FAILED", "InvalidCensus")}
    else:
        ends = failed if failed and not trial.redrive else {succeeded}
    if trial.action == "abort" and (trial.bad_file or not trial.redrive):
        ends |= {("ABORTED", None)}
    if trial.action == "delete a shard" and not trial.bad_file:
        ends |= {succeeded, *(("FAILED", error) for error in _SHARD_MISSING)}
    if trial.action == "quota for a while" and not (trial.bad_file or trial.redrive):
        ends |= {("FAILED", "ResourceLimitExceeded")}
    return ends


def _latest_violations(runs: Runs) -> Iterator[str]:
    """Check that latest.json is whole and names a run that has published its results."""
    try:
        latest = json.loads(_text(runs, LATEST))
        json.loads(_text(runs, f"runs/{latest['run_id']}/manifest.json"))
    except runs.client("s3").exceptions.NoSuchKey as error:
        if LATEST not in str(error) and runs.latest_run() is not None:
            yield f"latest.json names a run without a manifest: {error}"
    except ValueError as error:
        yield f"latest.json is not whole: {error}"


def _text(runs: Runs, key: str) -> str:
    return runs.read(key).decode()


def shrink(failed: Ended, carry_out_again: Callable[[Trial], Ended]) -> Ended:
    """Return the failing trial with the fewest ingredients that still fails when it runs alone.

    If the trial itself does not fail again, it is returned as it was.
    """
    again = carry_out_again(failed.trial)
    if not again.violations:
        return failed
    smallest = again
    while smaller := next((each for each in map(carry_out_again, smallest.trial.smaller()) if each.violations), None):
        smallest = smaller
    return smallest
