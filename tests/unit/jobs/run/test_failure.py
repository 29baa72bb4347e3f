"""The description of a failed run, and the notification about it."""

import json

import pytest

from contract.payloads import NotedFailure, RecordFailureEvent, StateError
from contract.run_settings import RunSettings
from jobs.run.failure import Failure, describe_failure, notify
from jobs.run.notification import Notification


def failure(
    error: str = "TrainingJobFailed", cause: str = "AlgorithmError: bad", cleanup: StateError | None = None
) -> Failure:
    """Describe a run that failed in the phase of PCA."""
    first: StateError = {"Error": error, "Cause": cause}
    noted: NotedFailure = {"phase": "Pca", "error": first, "execution": {"Id": "arn:e"}}
    if cleanup:
        noted["cleanup"] = cleanup
    event: RecordFailureEvent = {
        "run_id": "census-abc",
        "input": {"bucket": "in", "key": "incoming/census.csv", "version_id": "v1", "etag": "e", "size": 10},
        "failure": noted,
        "execution": {"Id": "arn:e"},
    }
    return describe_failure(event, first)


def test_the_cause_is_the_message_of_a_lambda_functions_error() -> None:
    wrapped = json.dumps({"errorMessage": "quota is 0", "errorType": "ResourceLimitExceeded", "stackTrace": []})
    assert failure(cause=wrapped)["cause"] == "quota is 0"


@pytest.mark.parametrize("cause", ["plain words", "[1, 2]", "", '{"other": 1}'])
def test_any_other_cause_is_kept_unchanged(cause: str) -> None:
    assert failure(cause=cause)["cause"] == cause


def test_the_notification_names_the_phase_and_the_command_that_resumes_the_run(settings: RunSettings) -> None:
    message = notify(failure(), settings).message
    assert "s3://in/incoming/census.csv failed in Pca" in message
    assert "The training job failed; the cause is its FailureReason." in message
    assert "Read the log of the job in `/aws/sagemaker/TrainingJobs`." in message
    assert "redrive-execution --execution-arn arn:e" in message
    assert "nothing was left running" in message


def test_the_notification_of_a_refused_csv_names_the_list_of_its_problems(settings: RunSettings) -> None:
    error = json.loads('"InvalidCensus"')  # as the event has it: an equal string, but another object
    message = notify(failure(error=error, cause="row 17: …"), settings).message
    assert message.startswith("s3://in/incoming/census.csv was refused.")
    assert "s3://results-bucket/runs/census-abc/problems.json" in message


def test_the_notification_reports_a_failed_clean_up_besides_the_first_error(settings: RunSettings) -> None:
    failed = failure(cleanup={"Error": "TeardownTimedOut", "Cause": "still there: Endpoint e"})
    assert failed["error"] == "TrainingJobFailed"
    assert "TeardownTimedOut: still there: Endpoint e" in notify(failed, settings).message
    assert "nothing was left running" not in notify(failed, settings).message


def test_a_notification_is_cut_to_what_sns_accepts() -> None:
    cut = Notification.of("s" * 101, ["ä" * 200_000])
    assert len(cut.subject) == 100
    assert len(cut.message.encode()) == 256 * 1024
