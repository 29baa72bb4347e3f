"""What people are told of a failed run."""

import json
from typing import Any

import pytest

from contract.run_settings import RunSettings
from jobs.run.failure import Failure, describe_failure, notify


def failure(error: str = "TrainingJobFailed", cause: str = "AlgorithmError: bad", **noted: Any) -> Failure:
    event = {
        "run_id": "census-abc",
        "input": {"bucket": "in", "key": "incoming/census.csv", "version_id": "v1"},
        "failure": {"phase": "Pca", **noted},
        "execution": {"Id": "arn:e"},
    }
    return describe_failure(event, {"Error": error, "Cause": cause})


def test_a_lambdas_error_is_unwrapped_to_what_it_says() -> None:
    wrapped = json.dumps({"errorMessage": "quota is 0", "errorType": "ResourceLimitExceeded", "stackTrace": []})
    assert failure(cause=wrapped)["cause"] == "quota is 0"


@pytest.mark.parametrize("cause", ["plain words", "[1, 2]", "", '{"other": 1}'])
def test_any_other_cause_stays_as_it_is(cause: str) -> None:
    assert failure(cause=cause)["cause"] == cause


def test_a_failed_run_names_the_phase_and_the_command_that_resumes_it(settings: RunSettings) -> None:
    message = notify(failure(), settings).message
    assert "s3://in/incoming/census.csv failed in Pca" in message
    assert "redrive-execution --execution-arn arn:e" in message
    assert "nothing was left running" in message


def test_a_refused_census_names_where_all_its_problems_are(settings: RunSettings) -> None:
    message = notify(failure(error="InvalidCensus", cause="row 17: …"), settings).message
    assert message.startswith("s3://in/incoming/census.csv was refused.")
    assert "s3://results-bucket/runs/census-abc/problems.json" in message


def test_a_failed_clean_up_is_not_hidden_behind_the_first_error(settings: RunSettings) -> None:
    failed = failure(cleanup={"Error": "TeardownTimedOut", "Cause": "still there: Endpoint e"})
    assert failed["error"] == "TrainingJobFailed"
    assert "TeardownTimedOut: still there: Endpoint e" in notify(failed, settings).message
    assert "nothing was left running" not in notify(failed, settings).message
