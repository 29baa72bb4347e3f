"""Exactly one run per object version, however often its event is delivered."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from embedded_aws.cloud.deploy import Outputs
from embedded_aws.cloud.instance import Cloud
from tests.local.runs import Run, Runs, eventually, object_created, small_census


@pytest.fixture(scope="module")
def runs(cloud: Cloud, stack: Outputs) -> Runs:
    return Runs(cloud, stack)


def executions_of(runs: Runs, run: Run) -> list[str]:
    pages = runs.client("stepfunctions").get_paginator("list_executions").paginate(stateMachineArn=runs.machine)
    return [item["name"] for page in pages for item in page["executions"] if item["name"].startswith(run.run_id)]


def test_a_hundred_deliveries_twenty_at_a_time_make_one_run(runs: Runs) -> None:
    run = runs.upload("duplicate.csv")
    event = object_created(run, runs.incoming)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: runs.invoke("start-run", event), range(100)))

    assert {answer["run_id"] for answer in answers} == {run.run_id}
    assert runs.end(run)["status"] == "SUCCEEDED"
    assert executions_of(runs, run) == [run.run_id]
    assert runs.entered(run).count("Prepare") == 1
    assert list(runs.training_jobs(run).values()) == ["Completed", "Completed"]


def test_events_in_the_queue_after_the_run_start_none(runs: Runs) -> None:
    run = runs.upload("late-duplicate.csv")
    ended = runs.end(run)

    for _ in range(10):
        runs.announce(object_created(run, runs.incoming))
    eventually(runs.is_queue_empty, 60, "events are left in the queue", every=0.2)
    assert runs.invoke("start-run", object_created(run, runs.incoming))["started"] is False

    assert runs.end(run)["startDate"] == ended["startDate"]
    assert executions_of(runs, run) == [run.run_id]


def test_a_new_version_of_the_same_key_is_a_run_of_its_own(runs: Runs) -> None:
    first = runs.upload("again.csv", small_census(seed=1))
    second = runs.upload("again.csv", small_census(seed=2))
    assert first.run_id != second.run_id
    assert [runs.end(run)["status"] for run in (first, second)] == ["SUCCEEDED", "SUCCEEDED"]
    sources = [runs.read_json(run.files.manifest)["input"]["version_id"] for run in (first, second)]
    assert sources == [first.version_id, second.version_id]


def test_a_deliberate_second_run_has_a_name_of_its_own_and_happens_once(runs: Runs) -> None:
    run = runs.upload("on-purpose.csv")
    assert runs.end(run)["status"] == "SUCCEEDED"
    manual = {"key": run.key, "rerun": "pca"}  # a name that begins like those of the run's own resources

    answers = [runs.invoke("start-run", manual) for _ in range(3)]

    rerun = runs.run_of(run.key, run.version_id, "pca")
    assert {answer["run_id"] for answer in answers} == {rerun.run_id}
    assert runs.end(rerun)["status"] == "SUCCEEDED"
    assert runs.invoke("start-run", manual)["started"] is False
    assert runs.has_correct_labels(rerun)
    assert sorted(executions_of(runs, run)) == [run.run_id, rerun.run_id]


def test_a_lost_event_can_be_replaced_by_an_invocation(runs: Runs) -> None:
    """The rule is disabled while the CSV is uploaded, as if its event were lost."""
    rule = f"{runs.stack}-object-created"
    runs.client("events").disable_rule(Name=rule)
    try:
        run = runs.upload("lost.csv")
        for _ in itertools.repeat(None, 5):
            assert runs.describe(run) is None
    finally:
        runs.client("events").enable_rule(Name=rule)

    assert runs.invoke("start-run", {"key": run.key, "version_id": run.version_id})["started"] is True

    assert runs.end(run)["status"] == "SUCCEEDED"


def test_an_event_of_a_foreign_object_starts_no_run_and_goes_to_the_dead_letter_queue(runs: Runs) -> None:
    before = runs.client("stepfunctions").list_executions(stateMachineArn=runs.machine)["executions"]

    runs.announce({"key": "elsewhere/census.csv"})

    def dead_letters() -> list[dict[str, Any]]:
        return list(runs.messages_to(runs.outputs["DeadLettersUrl"]))

    (letter,) = eventually(dead_letters, 60, "no dead letter")
    assert "elsewhere/census.csv" in str(letter)
    after = runs.client("stepfunctions").list_executions(stateMachineArn=runs.machine)["executions"]
    assert len(after) == len(before)
