"""The janitor removes resources that carry this stack's tags and belong to no running execution, and no others."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from embedded_aws.cloud.deploy import Outputs
from embedded_aws.cloud.instance import Cloud
from jobs.sagemaker.requests import tags
from tests.local.runs import Runs, eventually


@pytest.fixture(scope="module")
def runs(cloud: Cloud, stack: Outputs) -> Iterator[Runs]:
    runs = Runs(cloud, stack)
    yield runs
    runs.clear_faults()


@pytest.fixture(scope="module")
def execution(runs: Runs) -> dict[str, Any]:
    """A finished run, whose artifacts and role are used to create resources by hand."""
    run = runs.upload("janitor.csv")
    assert runs.end(run)["status"] == "SUCCEEDED"
    pca = runs.client("sagemaker").describe_training_job(TrainingJobName=f"{runs.stack}-{run.run_id}-pca")
    return {"arn": run.execution_arn, "run_id": run.run_id, "pca": pca}


class Maker:
    """Creates SageMaker resources by hand."""

    def __init__(self, runs: Runs, execution: dict[str, Any]) -> None:
        self.sagemaker = runs.client("sagemaker")
        self.pca = execution["pca"]

    def endpoint(self, name: str, tags: list[dict[str, str]]) -> list[str]:
        image = self.pca["AlgorithmSpecification"]["TrainingImage"]
        container = {"Image": image, "ModelDataUrl": self.pca["ModelArtifacts"]["S3ModelArtifacts"]}
        self.sagemaker.create_model(
            ModelName=name, PrimaryContainer=container, ExecutionRoleArn=self.pca["RoleArn"], Tags=tags
        )
        variant = {
            "VariantName": "v",
            "ModelName": name,
            "InitialInstanceCount": 1,
            "InstanceType": "ml.t2.medium",
        }
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], Tags=tags)
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=tags)
        return [f"Endpoint {name}", f"EndpointConfig {name}", f"Model {name}"]

    def training_job(self, name: str, tags: list[dict[str, str]]) -> str:
        fields = ("AlgorithmSpecification", "RoleArn", "InputDataConfig", "OutputDataConfig", "ResourceConfig")
        body = {field: self.pca[field] for field in (*fields, "StoppingCondition", "HyperParameters")}
        body["AlgorithmSpecification"] = {
            field: body["AlgorithmSpecification"][field] for field in ("TrainingImage", "TrainingInputMode")
        }
        body["OutputDataConfig"] = {"S3OutputPath": body["OutputDataConfig"]["S3OutputPath"]}
        self.sagemaker.create_training_job(TrainingJobName=name, Tags=tags, **body)
        return f"TrainingJob {name}"

    def in_service(self, name: str) -> None:
        status = self.sagemaker.describe_endpoint
        eventually(lambda: status(EndpointName=name)["EndpointStatus"] == "InService", 60, f"{name} isn't InService")

    def remove(self, name: str) -> None:
        self.in_service(name)
        self.sagemaker.delete_endpoint(EndpointName=name)
        self.sagemaker.delete_endpoint_config(EndpointConfigName=name)
        self.sagemaker.delete_model(ModelName=name)


@pytest.fixture(scope="module")
def maker(runs: Runs, execution: dict[str, Any]) -> Maker:
    return Maker(runs, execution)


def test_it_removes_what_a_finished_execution_left(runs: Runs, execution: dict[str, Any], maker: Maker) -> None:
    name = f"{runs.stack}-{execution['run_id']}-pca-9"
    runs.add_faults(f"Endpoint@{name}:slow=5")
    made = maker.endpoint(name, tags(runs.stack, execution["run_id"], execution["arn"]))

    answer = runs.sweep()  # while the endpoint is being created: it can't be deleted yet

    assert {each.split(" (")[0] for each in answer["found"]} >= set(made)
    assert len(answer["pending"]) >= 3
    assert runs.is_swept(execution["run_id"])


def test_it_stops_a_training_job_that_nobody_waits_for(runs: Runs, execution: dict[str, Any], maker: Maker) -> None:
    name = f"{runs.stack}-{execution['run_id']}-pca-8"
    runs.add_faults(f"TrainingJob@{name}:stuck")
    maker.training_job(name, tags(runs.stack, execution["run_id"], execution["arn"]))

    assert runs.is_swept(name)

    assert maker.sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "Stopped"


def test_resources_of_an_unknown_execution_are_removed_too(runs: Runs, execution: dict[str, Any], maker: Maker) -> None:
    """Step Functions forgets executions after 90 days; their resources must still be removed."""
    gone = f"{execution['arn']}-never-was"
    maker.endpoint(f"{runs.stack}-forgotten-kmeans", tags(runs.stack, "forgotten", gone))
    assert runs.is_swept("forgotten")


@pytest.mark.parametrize("whose", ["nobody's", "another stack's", "a prefix stack's"])
def test_it_never_touches_resources_without_this_stacks_tags(
    runs: Runs, execution: dict[str, Any], maker: Maker, whose: str
) -> None:
    name = f"{runs.stack}-x{whose[:4].strip(' n')}-pca".replace(" ", "").replace("'", "")
    own = {
        "nobody's": [],
        "another stack's": tags("other", execution["run_id"], execution["arn"]),
        "a prefix stack's": tags(f"{runs.stack}-x", execution["run_id"], execution["arn"]),
    }[whose]
    made = maker.endpoint(name, own)
    maker.in_service(name)

    answer = runs.sweep()

    assert not [each for each in answer["found"] if name in each]
    assert sorted(runs.leftovers(name)) == sorted(made)
    maker.remove(name)


def test_it_never_touches_a_running_executions_resources(runs: Runs) -> None:
    runs.add_faults("State.Project@busy-:slow=3")
    run = runs.upload("busy.csv")
    eventually(lambda: any(fault["struck"] for fault in runs.faults_on("busy-")), 60)
    held = runs.leftovers(run.run_id)

    answer = runs.sweep()

    assert held
    assert not [each for each in answer["found"] if run.run_id in each]
    assert runs.end(run)["status"] == "SUCCEEDED"


def test_a_resource_that_cannot_be_removed_does_not_stop_the_removal_of_others(
    runs: Runs, execution: dict[str, Any], maker: Maker
) -> None:
    """The first resource in the list is the one whose removal is refused."""
    stubborn, meek = (f"{runs.stack}-{name}-pca" for name in ("aaa", "zzz"))
    for name in (stubborn, meek):
        maker.endpoint(name, tags(runs.stack, name, f"{execution['arn']}-gone"))
        maker.in_service(name)
    runs.add_faults(f"DeleteEndpoint@{stubborn}:denied", f"DeleteModel@{stubborn}:denied")

    def only_the_stubborn_is_left() -> bool:
        runs.client("lambda").invoke(FunctionName=f"{runs.stack}-sweep", Payload=b"{}")
        return not runs.leftovers(meek)

    eventually(only_the_stubborn_is_left, 30, every=0.2)
    assert {each.split()[0] for each in runs.leftovers(stubborn)} == {"Endpoint", "Model"}
    runs.clear_faults()
    assert runs.is_swept("")


def test_it_counts_what_it_found(runs: Runs, execution: dict[str, Any], maker: Maker) -> None:
    """The metric is logged in CloudWatch's embedded metric format, from which CloudWatch reads it."""
    began = int(time.time() * 1000)
    maker.endpoint(f"{runs.stack}-counted-pca", tags(runs.stack, "counted", "arn:aws:states:us-east-1:1:x"))
    answer = runs.sweep()
    assert len(answer["found"]) == 3

    def counts() -> list[float]:
        events = runs.client("logs").filter_log_events(
            logGroupName=f"/aws/lambda/{runs.stack}-sweep", startTime=began, filterPattern="LeaksFound"
        )["events"]
        metrics = [json.loads(event["message"]) for event in events if event["message"].startswith("{")]
        return [number for each in metrics if "_aws" in each for number in each["LeaksFound"]]

    assert 3 in eventually(counts, 20, "no metric in the log")
    assert runs.is_swept("counted")


def test_it_runs_on_a_schedule_and_whenever_an_execution_doesnt_succeed(runs: Runs) -> None:
    events = runs.client("events")
    schedule = events.describe_rule(Name=f"{runs.stack}-sweep")
    assert (schedule["ScheduleExpression"], schedule["State"]) == ("rate(15 minutes)", "ENABLED")
    ended = json.loads(events.describe_rule(Name=f"{runs.stack}-execution-ended")["EventPattern"])
    assert set(ended["detail"]["status"]) == {"ABORTED", "TIMED_OUT", "FAILED"}
    for rule in ("sweep", "execution-ended"):
        (target,) = events.list_targets_by_rule(Rule=f"{runs.stack}-{rule}")["Targets"]
        assert target["Arn"].endswith(f":function:{runs.stack}-sweep")


def test_an_aborted_executions_resources_are_removed_without_an_invocation_by_hand(runs: Runs) -> None:
    """The event about the execution's status change is enough."""
    runs.add_faults("State.Project@abandoned-:slow=60")
    run = runs.upload("abandoned.csv")
    eventually(lambda: any(fault["struck"] for fault in runs.faults_on("abandoned-")), 60)
    assert runs.leftovers(run.run_id)

    runs.client("stepfunctions").stop_execution(executionArn=run.execution_arn)

    def only_models_and_configs() -> bool:
        return not [each for each in runs.leftovers(run.run_id) if each.startswith(("Endpoint ", "TrainingJob "))]

    eventually(only_models_and_configs, 30, "the endpoint is still there", every=0.2)
    assert runs.is_swept(run.run_id)
