"""A run fails if another owner has a resource of the same name, and leaves that resource unchanged."""

import pytest

from contract.names import RUN_TAG, Stage, resource_name
from embedded_aws.cloud.deploy import Outputs
from embedded_aws.cloud.instance import Cloud
from tests.local.runs import Run, Runs

IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/pca:1"


@pytest.fixture(scope="module")
def runs(cloud: Cloud, stack: Outputs) -> Runs:
    return Runs(cloud, stack)


@pytest.fixture(scope="module")
def first(runs: Runs) -> Run:
    """A successful run. The other runs process its file again, under names that are known beforehand."""
    run = runs.upload("taken.csv")
    assert runs.end(run)["status"] == "SUCCEEDED"
    return run


def take(runs: Runs, first: Run, kind: str, name: str, tags: list[dict[str, str]]) -> None:
    """Create one resource of that name from the first run's training job."""
    sagemaker = runs.client("sagemaker")
    done = sagemaker.describe_training_job(TrainingJobName=resource_name(runs.stack, first.run_id, "pca"))
    role, artifacts = done["RoleArn"], done["ModelArtifacts"]["S3ModelArtifacts"]
    if kind == "training-job":
        keys = ("AlgorithmSpecification", "RoleArn", "InputDataConfig", "ResourceConfig", "HyperParameters")
        body = {key: done[key] for key in (*keys, "OutputDataConfig", "StoppingCondition")}
        sagemaker.create_training_job(TrainingJobName=name, Tags=tags, **body)
        return
    model = name if kind == "model" else f"{name}-foreign"
    container = {"Image": IMAGE, "ModelDataUrl": artifacts}
    sagemaker.create_model(ModelName=model, ExecutionRoleArn=role, PrimaryContainer=container, Tags=tags)
    if kind == "model":
        return
    config = name if kind == "endpoint-config" else f"{name}-foreign"
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": model,
        "InstanceType": "ml.t2.medium",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName=config, ProductionVariants=[variant], Tags=tags)
    if kind == "endpoint":
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config, Tags=tags)


@pytest.mark.parametrize("tags", [[], [{"Key": RUN_TAG, "Value": "another-run"}]], ids=["no tags", "another run's"])
@pytest.mark.parametrize(
    ("kind", "stage"), [("training-job", "pca"), ("model", "pca"), ("endpoint-config", "kmeans"), ("endpoint", "pca")]
)
def test_the_run_fails_and_the_resource_stays(
    runs: Runs, first: Run, kind: str, stage: Stage, tags: list[dict[str, str]]
) -> None:
    rerun = f"{kind[0]}{kind[-1]}{len(tags)}"
    run = runs.run_of(first.key, first.version_id, rerun)
    name = resource_name(runs.stack, run.run_id, stage)
    take(runs, first, kind, name, tags)

    runs.invoke("start-run", {"key": first.key, "version_id": first.version_id, "rerun": rerun})

    ended = runs.end(run)
    assert (ended["status"], ended["error"]) == ("FAILED", "NameTaken"), ended.get("cause")
    assert f"{kind}/{name} exists but isn't of run {run.run_id}" in ended["cause"]
    sagemaker = runs.client("sagemaker")
    if kind == "training-job":
        job = sagemaker.describe_training_job(TrainingJobName=name)
        assert job["TrainingJobStatus"] in ("InProgress", "Completed")
    else:
        operation = kind.replace("-", "_")
        key = "".join(word.title() for word in kind.split("-")) + "Name"
        assert getattr(sagemaker, f"describe_{operation}")(**{key: name})[key] == name
