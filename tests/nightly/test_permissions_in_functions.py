"""`inference: function`: each permission is used, or there is a documented reason why it is not rehearsed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded_aws.permissions import DECISIONS, collect, compare, read
from local.permissions import reasons
from tests.local.faults import deployed
from tests.local.runs import SERIES, Run, Runs, small_census
from tests.local.test_aborts import await_fault

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def runs() -> Iterator[Runs]:
    with deployed("function") as runs:
        yield runs


def aborted(runs: Runs) -> Run:
    """Start a run, and stop its execution while it trains."""
    wait = "State.WaitForKMeansTraining"
    runs.add_faults("TrainingJob@stop-*-kmeans:stuck", f"{wait}@stop-:slow=60")
    run = runs.upload("stop.csv")
    await_fault(runs, wait, run)
    runs.client("stepfunctions").stop_execution(executionArn=run.execution_arn, error="Test", cause=wait)
    return run


def test_runs_of_every_kind_use_every_permission_and_are_refused_nothing(runs: Runs, tmp_path: Path) -> None:
    runs.train_for_series()
    runs.add_faults("TrainingJob@fail-*-kmeans:stuck")
    refused = runs.upload("refused.csv", b"")
    ended = {
        "trained": runs.upload(f"{SERIES}/second.csv", small_census(groups=5)),  # with segments that are new
        "applied": runs.upload_to_series("third.csv"),
        "nothing to apply": runs.upload("other/first.csv", mode="apply"),
        "refused": refused,
        "timed out": runs.upload("fail.csv"),
        "stopped": aborted(runs),
    }
    assert {name: runs.end(run)["status"] for name, run in ended.items()} == {
        "trained": "SUCCEEDED",
        "applied": "SUCCEEDED",
        "nothing to apply": "FAILED",
        "refused": "FAILED",
        "timed out": "FAILED",
        "stopped": "ABORTED",
    }
    runs.clear_faults()
    runs.client("stepfunctions").redrive_execution(executionArn=refused.execution_arn)
    assert runs.end(refused)["status"] == "FAILED"
    assert runs.is_swept("", 90)

    collect(runs.cloud.client, runs.cloud.directory / DECISIONS, runs.stack, tmp_path)
    report = compare(*read([tmp_path]), reasons())
    assert report.refused == []
    assert report.unused == []
