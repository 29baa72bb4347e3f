"""Starting a run once, and recording why one failed."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from contract.layout import RunLayout, run_id
from lambdas import record_failure, start_run
from tests.unit.lambdas.conftest import Invoke
from tests.unit.lambdas.fake_aws import FakeAws

BUCKET, KEY = "incoming-bucket", "incoming/census.csv"
EXECUTIONS = "arn:aws:states:us-east-1:123456789012:execution:census-segmentation"
RUN = run_id(BUCKET, KEY, "v1")


def created(key: str = KEY, **version: str) -> dict[str, Any]:
    found = {"key": key, "size": 10, "etag": '"abc"', **(version or {"version-id": "v1"})}
    return {"detail": {"bucket": {"name": BUCKET}, "object": found}}


class TestStartRun:
    def test_the_execution_is_named_after_the_object_version(self, aws: FakeAws, invoke: Invoke) -> None:
        started = invoke(start_run.handler, **created())
        assert started == {"run_id": RUN, "started": True, "execution_arn": f"{EXECUTIONS}:{RUN}"}
        (call,) = aws.called("StartExecution")
        source = {"bucket": BUCKET, "key": KEY, "version_id": "v1", "etag": "abc", "size": 10}
        assert json.loads(call["input"]) == {"run_id": RUN, "input": source}

    def test_a_repeated_event_starts_nothing(self, aws: FakeAws, invoke: Invoke) -> None:
        invoke(start_run.handler, **created())
        assert invoke(start_run.handler, **created()) == {"run_id": RUN, "started": False}
        assert len(aws.executions) == 1

    def test_without_versions_the_etag_names_the_run(self, aws: FakeAws, invoke: Invoke) -> None:
        started = invoke(start_run.handler, **created(sequencer="0062"))
        assert started["run_id"] == run_id(BUCKET, KEY, "abc")

    def test_a_folder_marker_starts_no_run(self, aws: FakeAws, invoke: Invoke) -> None:
        assert invoke(start_run.handler, **created("incoming/folder/")) == {
            "skipped": "incoming/folder/ is a folder marker"
        }
        assert aws.executions == {}

    def test_a_manual_event_runs_the_same_version_again_under_another_name(self, aws: FakeAws, invoke: Invoke) -> None:
        aws.objects[BUCKET, KEY] = b"0123456789"
        started = invoke(start_run.handler, key=KEY, rerun="r2", version_id="v1")
        assert started["run_id"] == f"{RUN}-r2"
        source = json.loads(aws.called("StartExecution")[0]["input"])["input"]
        assert source == {"bucket": BUCKET, "key": KEY, "version_id": "v1", "etag": "etag", "size": 10}
        assert aws.called("HeadObject") == [{"Bucket": BUCKET, "Key": KEY, "VersionId": "v1"}]

    def test_a_manual_event_without_a_version_takes_the_newest(self, aws: FakeAws, invoke: Invoke) -> None:
        aws.objects["other", KEY] = b""
        invoke(start_run.handler, bucket="other", key=KEY)
        assert aws.called("HeadObject") == [{"Bucket": "other", "Key": KEY}]

    @pytest.mark.parametrize("event", [{}, {"key": "elsewhere/census.csv"}])
    def test_an_event_that_names_nothing_of_ours_is_an_error(
        self, aws: FakeAws, invoke: Invoke, event: dict[str, str]
    ) -> None:
        with pytest.raises(Exception, match="expected one that starts with 'incoming/'") as refused:
            invoke(start_run.handler, **event)
        assert type(refused.value).__name__ == "InvalidEvent"

    def test_an_error_of_aws_keeps_its_name(self, aws: FakeAws, invoke: Invoke) -> None:
        aws.refusals["StartExecution", RUN] = ("StateMachineDoesNotExist", "gone")
        with pytest.raises(Exception, match="StartExecution: gone") as refused:
            invoke(start_run.handler, **created())
        assert type(refused.value).__name__ == "StateMachineDoesNotExist"


def failed(error: str = "TrainingJobFailed", cause: str = "AlgorithmError: bad", redrives: int = 0) -> dict[str, Any]:
    return {
        "run_id": RUN,
        "input": {"bucket": BUCKET, "key": KEY, "version_id": "v1"},
        "execution": {"Id": f"{EXECUTIONS}:{RUN}", "RedriveCount": redrives},
        "failure": {
            "phase": "Pca",
            "execution": {"Id": f"{EXECUTIONS}:{RUN}", "RedriveCount": 0},
            "error": {"Error": error, "Cause": cause},
        },
    }


class TestRecordFailure:
    def recorded(self, aws: FakeAws) -> dict[str, Any]:
        return dict(json.loads(aws.objects["results-bucket", RunLayout(RUN).failure]))

    def test_it_records_notifies_and_ends_with_the_first_error(
        self, aws: FakeAws, invoke: Invoke, metrics: Callable[[], dict[str, float]]
    ) -> None:
        with pytest.raises(Exception, match="AlgorithmError: bad") as ended:
            invoke(record_failure.handler, **failed())
        assert type(ended.value).__name__ == "TrainingJobFailed"
        assert self.recorded(aws)["error"] == "TrainingJobFailed"
        (message,) = aws.messages
        assert "AlgorithmError: bad" in message["Message"]
        assert metrics() == {}

    def test_a_refused_file_is_counted(
        self, aws: FakeAws, invoke: Invoke, metrics: Callable[[], dict[str, float]]
    ) -> None:
        with pytest.raises(Exception, match="row 17"):
            invoke(record_failure.handler, **failed("InvalidCensus", "row 17: …"))
        assert metrics() == {"FilesRefused": 1}

    def test_redriven_since_it_returns_the_phase_to_resume_at(self, aws: FakeAws, invoke: Invoke) -> None:
        assert invoke(record_failure.handler, **failed(redrives=1)) == {"phase": "Pca"}
        assert aws.messages == []

    def test_the_shard_that_failed_first_gives_the_error(self, aws: FakeAws, invoke: Invoke) -> None:
        day = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
        states = "arn:aws:states:us-east-1:123456789012"
        runs = [f"{states}:mapRun:census-segmentation/Project:{name}" for name in ("old", "new")]
        aws.map_runs = [{"mapRunArn": runs[1], "startDate": day[1]}, {"mapRunArn": runs[0], "startDate": day[0]}]
        shards = [f"{states}:execution:census-segmentation/Project:{name}" for name in ("a", "b", "c")]
        aws.executions = {
            shards[0]: {"status": "FAILED", "error": "Later", "cause": "later"},
            shards[1]: {"status": "FAILED", "error": "ModelError", "cause": "the model is broken"},
            shards[2]: {"status": "SUCCEEDED"},
        }
        stops = [day[2], day[1], day[0]]
        listed = [{"executionArn": arn, "stopDate": stop} for arn, stop in zip(shards, stops, strict=True)]
        aws.map_executions = {runs[0]: [], runs[1]: listed}
        with pytest.raises(Exception, match="the model is broken") as ended:
            invoke(record_failure.handler, **failed("States.ExceedToleratedFailureThreshold", "shards failed"))
        assert type(ended.value).__name__ == "ModelError"

    @pytest.mark.parametrize("found", ["nothing", "an error", "a shard without an error"])
    def test_where_the_shards_error_cannot_be_found_the_maps_own_stays(
        self, aws: FakeAws, invoke: Invoke, found: str
    ) -> None:
        run, shard = f"{EXECUTIONS}/Project:run".replace("execution", "mapRun"), f"{EXECUTIONS}/Project:shard"
        aws.map_runs = [{"mapRunArn": run, "startDate": datetime(2026, 1, 1, tzinfo=UTC)}]
        aws.map_executions = {run: []}
        if found == "an error":
            aws.refusals["ListMapRuns", ""] = ("AccessDeniedException", "not allowed")
        elif found == "a shard without an error":
            aws.executions[shard] = {"status": "FAILED"}
            aws.map_executions[run] = [{"executionArn": shard, "stopDate": datetime(2026, 1, 1, tzinfo=UTC)}]
        with pytest.raises(Exception, match="shards failed") as ended:
            invoke(record_failure.handler, **failed("States.ExceedToleratedFailureThreshold", "shards failed"))
        assert type(ended.value).__name__ == "States.ExceedToleratedFailureThreshold"
