"""A redriven execution continues where it failed and reuses the finished work."""

from collections.abc import Iterator

import pytest

from embedded_aws.cloud.deploy import Outputs
from embedded_aws.cloud.instance import Cloud
from tests.local.runs import Run, Runs, eventually


@pytest.fixture(scope="module")
def runs(cloud: Cloud, stack: Outputs) -> Iterator[Runs]:
    runs = Runs(cloud, stack)
    yield runs
    runs.clear_faults()


def fail_once(runs: Runs, name: str, *faults: str, error: str) -> Run:
    """Run a CSV under faults until it fails, then remove the faults."""
    runs.add_faults(*faults)
    run = runs.upload(f"{name}.csv")
    failed = runs.end(run)
    assert (failed["status"], failed["error"]) == ("FAILED", error), failed
    runs.clear_faults()
    return run


def redrive(runs: Runs, run: Run) -> list[str]:
    """Redrive a run and wait for its end; return the states that it entered since."""
    before = len(runs.events(run))
    runs.client("stepfunctions").redrive_execution(executionArn=run.execution_arn)
    ended = runs.end(run)
    assert ended["status"] == "SUCCEEDED", (ended.get("error"), ended.get("cause"))
    since = runs.events(run)[before:]
    return [event["stateEnteredEventDetails"]["name"] for event in since if "stateEnteredEventDetails" in event]


def test_a_failed_training_is_repeated_and_the_other_models_job_is_reused(runs: Runs) -> None:
    run = fail_once(runs, "redrive-km", "TrainingJob@redrive-km-*-kmeans:failed=why", error="TrainingJobFailed")
    assert runs.leftovers(run.run_id) == []
    base = f"{runs.stack}-{run.run_id}"
    created = runs.client("sagemaker").describe_training_job(TrainingJobName=f"{base}-pca")["CreationTime"]

    entered = redrive(runs, run)

    assert runs.training_jobs(run) == {
        f"{base}-pca": "Completed",
        f"{base}-kmeans": "Failed",
        f"{base}-kmeans-2": "Completed",
    }
    assert runs.client("sagemaker").describe_training_job(TrainingJobName=f"{base}-pca")["CreationTime"] == created
    assert not {"Prepare", "LaunchPcaTraining", "Project"} & set(entered)
    assert runs.has_correct_labels(run)
    assert runs.leftovers(run.run_id) == []
    manifest = runs.read_json(run.files.manifest)
    assert f"{base}-kmeans-2" in str(manifest)


def test_a_phase_that_failed_after_its_training_reuses_that_training(runs: Runs) -> None:
    run = fail_once(runs, "redrive-ep", "Endpoint@redrive-ep-*-pca:failed=no luck", error="EndpointFailed")

    entered = redrive(runs, run)

    jobs = {name.removeprefix(f"{runs.stack}-{run.run_id}-") for name in runs.training_jobs(run)}
    assert jobs == {"pca", "kmeans"}
    assert "Prepare" not in entered
    assert runs.has_correct_labels(run)
    assert runs.leftovers(run.run_id) == []


def test_only_publish_is_repeated_when_publish_failed(runs: Runs) -> None:
    run = fail_once(runs, "redrive-pub", "s3.PutObject@redrive-pub-*/segments.json:denied", error="AccessDenied")

    entered = redrive(runs, run)

    assert [state for state in entered if state not in ("RecordFailure", "Resume")] == ["Publish"]
    assert runs.has_correct_labels(run)


def test_a_shard_that_failed_is_repeated(runs: Runs) -> None:
    run = fail_once(runs, "redrive-lab", "InvokeEndpoint@redrive-lab-*-kmeans:denied", error="AccessDeniedException")
    redrive(runs, run)
    assert runs.has_correct_labels(run)
    assert runs.leftovers(run.run_id) == []


def test_an_aborted_run_can_be_continued(runs: Runs) -> None:
    runs.add_faults("State.Label@redrive-abo:slow=60")
    run = runs.upload("redrive-abo.csv")
    eventually(lambda: any(fault["struck"] for fault in runs.faults_on("redrive-abo")), 60)
    runs.client("stepfunctions").stop_execution(executionArn=run.execution_arn)
    assert runs.end(run)["status"] == "ABORTED"
    runs.clear_faults()
    assert runs.is_swept(run.run_id)

    # The janitor removed Label's endpoint, so the shard fails and the run is cleaned up; then it is redriven once more.
    runs.client("stepfunctions").redrive_execution(executionArn=run.execution_arn)
    if runs.end(run)["status"] == "FAILED":
        redrive(runs, run)
    assert runs.end(run)["status"] == "SUCCEEDED"
    assert runs.has_correct_labels(run)
    assert runs.leftovers(run.run_id) == []


def test_it_may_fail_and_be_redriven_twice(runs: Runs) -> None:
    run = fail_once(runs, "redrive-two", "TrainingJob@redrive-two-*-pca:failed=why", error="TrainingJobFailed")
    runs.add_faults("TrainingJob@redrive-two-*-pca:failed=again")
    runs.client("stepfunctions").redrive_execution(executionArn=run.execution_arn)
    again = runs.end(run)
    assert (again["status"], again["error"], again["redriveCount"]) == ("FAILED", "TrainingJobFailed", 1)
    assert "again" in again["cause"]
    runs.clear_faults()

    redrive(runs, run)

    names = {name.removeprefix(f"{runs.stack}-{run.run_id}-") for name in runs.training_jobs(run)}
    assert names == {"pca", "pca-2", "pca-3", "kmeans"}
    assert runs.has_correct_labels(run)


def test_a_run_that_succeeded_cant_be_redriven(runs: Runs) -> None:
    run = runs.upload("redrive-ok.csv")
    assert runs.end(run)["status"] == "SUCCEEDED"
    states = runs.client("stepfunctions")
    with pytest.raises(states.exceptions.ExecutionNotRedrivable):
        states.redrive_execution(executionArn=run.execution_arn)
