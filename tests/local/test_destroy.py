"""``destroy``: it refuses while runs are in progress, and with ``--stop`` it leaves nothing behind."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.cloud import deploy
from embedded_aws.cloud.instance import Cloud
from infra.settings import Settings
from local.account import Account
from local.destroy import Waits, destroy
from local.errors import UserError
from local.stack import OUTPUTS
from local.synth import ROOT
from local.template import Template
from tests.local.runs import Run, Runs, eventually

# Longer than a CSV in the queue waits until it is received again.
SETTLE_SECONDS = 6


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, assembly: Path) -> Iterator[Runs]:
    """The stack in an embedded AWS of its own, which ``--embedded`` finds as if `up` had started it."""
    with Cloud.start(tmp_path_factory.mktemp("destroy")) as cloud:
        outputs = deploy.deploy(cloud, assembly)
        (cloud.directory / OUTPUTS).write_text(json.dumps(dict(outputs.values)))
        yield Runs(cloud, outputs)


@pytest.fixture(scope="module")
def template(assembly: Path) -> Template:
    return Template.read(assembly)


def held_in(state: str, runs: Runs, name: str) -> Run:
    """Start a run and return it once it is held in a state."""
    fault = f"State.{state}@{name}-:slow=600"
    runs.add_faults(fault)
    run = runs.upload(f"{name}.csv")
    eventually(lambda: runs.has_struck(fault), 90, f"{name} is not in {state}", every=0.2)
    return run


def status(runs: Runs, run: Run) -> str | None:
    """Return the status of a run, or None if it has not started."""
    found = runs.describe(run)
    return found["status"] if found else None


def reserved_concurrency(runs: Runs) -> Any:
    """Return how many CSVs the stack may start at a time; None for any number."""
    found = runs.client("lambda").get_function_concurrency(FunctionName=f"{runs.stack}-start-run")
    return found.get("ReservedConcurrentExecutions")


@pytest.fixture(scope="module")
def hosting(runs: Runs) -> Run:
    """A run that is in progress and has an endpoint."""
    return held_in("Project", runs, "hosting")


def test_it_refuses_while_a_run_is_in_progress_and_lists_it(runs: Runs, hosting: Run) -> None:
    command = [sys.executable, "-m", "local", "destroy", "--embedded"]
    home = os.environ | {"CENSUS_HOME": str(runs.cloud.directory)}

    done = subprocess.run(command, cwd=ROOT, env=home, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    message, *listed = done.stderr.splitlines()
    assert message.endswith("Wait until they end, or stop them with --stop")
    assert [line.strip() for line in listed] == [hosting.run_id]
    assert status(runs, hosting) == "RUNNING"
    assert reserved_concurrency(runs) is None


def test_a_resource_that_cannot_be_deleted_in_time_keeps_the_stack(
    runs: Runs, template: Template, hosting: Run
) -> None:
    runs.add_faults("DeleteEndpoint:denied")

    with pytest.raises(UserError, match="something left after 3 s; the stack was not deleted") as error:
        destroy(Account.embedded(runs.cloud), template, pytest.fail, stop=True, report=print, waits=Waits(3, 0, 0.2))

    assert "not authorized to perform: sagemaker:DeleteEndpoint" in error.value.details[0]
    assert status(runs, hosting) == "ABORTED"
    assert any(hosting.run_id in each for each in runs.leftovers())
    assert reserved_concurrency(runs) is None
    runs.clear_faults()


def test_with_stop_nothing_is_left_and_the_stack_is_gone(runs: Runs, template: Template, hosting: Run) -> None:
    """What the test before left is deleted, too; and a CSV that arrives meanwhile is not left running.

    It stays in the queue, unless `start_run` was already waiting for it; then its run is stopped, too.
    """
    account = Account.embedded(runs.cloud)
    running = [held_in("Prepare", runs, f"late{number}") for number in range(Settings().max_concurrent_runs)]
    arriving: list[Run] = []
    found: list[Any] = []

    def report(_line: str) -> None:
        if not arriving:
            arriving.append(runs.upload("arriving.csv"))

    def delete() -> None:
        found.append(([status(runs, run) for run in running], runs.leftovers()))
        assert status(runs, arriving[0]) in {None, "ABORTED"}
        deploy.destroy(runs.cloud, runs.stack)

    waits = Waits(limit=60, settle=SETTLE_SECONDS, poll=0.2)
    assert destroy(account, template, delete, stop=True, report=report, waits=waits)

    assert found == [(["ABORTED"] * len(running), [])]
    assert runs.leftovers() == []
    assert not destroy(account, template, pytest.fail, stop=True, report=print, waits=waits)
