"""The launchers: what they create, and whose resources they accept."""

from typing import Any

import pytest

from contract.names import EXECUTION_TAG, RUN_TAG, STACK_TAG
from contract.run_settings import RunSettings
from lambdas import launch_endpoint, launch_training
from tests.unit.lambdas.conftest import Invoke
from tests.unit.lambdas.fake_aws import FakeAws

RUN = "census-abc"
NAME = f"census-segmentation-{RUN}-pca"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:census-segmentation:census-abc"
EVENT: dict[str, Any] = {
    "stage": "pca",
    "run_id": RUN,
    "execution": {"Id": EXECUTION, "RedriveCount": 0},
    "rows": 3218,
    "features": 34,
    "shards": 1,
    "artifacts": "s3://results-bucket/model.tar.gz",
}
FOREIGN = [[], [{"Key": RUN_TAG, "Value": "another-run"}], [{"Key": "team", "Value": RUN}]]


def tags(resource: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in resource["Tags"]}


class TestTraining:
    def test_the_job_carries_the_runs_tags_and_sizes(self, aws: FakeAws, invoke: Invoke) -> None:
        assert invoke(launch_training.handler, **EVENT) == {"name": NAME, "instance_type": "ml.c4.xlarge"}
        job = aws.resources["TrainingJob", NAME]
        assert tags(job) == {STACK_TAG: "census-segmentation", RUN_TAG: RUN, EXECUTION_TAG: EXECUTION}
        assert job["HyperParameters"]["feature_dim"] == "34"
        assert job["ResourceConfig"]["InstanceType"] == "ml.c4.xlarge"

    def test_the_chosen_number_of_clusters_takes_the_place_of_the_settings(self, aws: FakeAws, invoke: Invoke) -> None:
        invoke(launch_training.handler, **EVENT | {"stage": "kmeans"})
        invoke(launch_training.handler, **EVENT | {"stage": "kmeans", "run_id": "census-def", "clusters": 5})
        found = [job["HyperParameters"]["k"] for (kind, _), job in aws.resources.items() if kind == "TrainingJob"]
        assert found == ["8", "5"]

    def test_launching_twice_creates_one_job(self, aws: FakeAws, invoke: Invoke) -> None:
        assert invoke(launch_training.handler, **EVENT) == invoke(launch_training.handler, **EVENT)
        assert aws.names("TrainingJob") == [NAME]

    def test_a_lack_of_capacity_makes_the_next_instance_type_serve(self, aws: FakeAws, invoke: Invoke) -> None:
        invoke(launch_training.handler, **EVENT)
        aws.resources["TrainingJob", NAME] |= {"TrainingJobStatus": "Failed", "FailureReason": "CapacityError: none"}
        assert invoke(launch_training.handler, **EVENT) == {"name": f"{NAME}-2", "instance_type": "ml.m5.large"}

    def test_a_job_that_was_created_in_the_meantime_is_used(self, aws: FakeAws, invoke: Invoke) -> None:
        aws.race = ("TrainingJob", NAME, [{"Key": RUN_TAG, "Value": RUN}])
        assert invoke(launch_training.handler, **EVENT)["name"] == NAME

    def test_a_foreign_job_that_was_created_in_the_meantime_is_not(self, aws: FakeAws, invoke: Invoke) -> None:
        aws.race = ("TrainingJob", NAME, [])
        with pytest.raises(Exception, match="delete or rename it"):
            invoke(launch_training.handler, **EVENT)

    @pytest.mark.parametrize("foreign", FOREIGN)
    def test_a_foreign_job_of_that_name_fails_the_run(
        self, aws: FakeAws, invoke: Invoke, foreign: list[dict[str, str]]
    ) -> None:
        aws.add("TrainingJob", NAME, foreign, TrainingJobStatus="Completed", ResourceConfig={"InstanceType": "ml.x"})
        with pytest.raises(Exception, match=f"{NAME} exists but") as taken:
            invoke(launch_training.handler, **EVENT)
        assert type(taken.value).__name__ == "NameTaken"
        assert aws.called("CreateTrainingJob") == []

    def test_any_other_error_keeps_its_name(self, aws: FakeAws, invoke: Invoke) -> None:
        aws.refusals["CreateTrainingJob", NAME] = ("AccessDeniedException", "not allowed")
        with pytest.raises(Exception, match="CreateTrainingJob: not allowed") as refused:
            invoke(launch_training.handler, **EVENT)
        assert type(refused.value).__name__ == "AccessDeniedException"
        aws.refusals["DescribeTrainingJob", NAME] = ("ThrottlingException", "slow down")
        with pytest.raises(Exception, match="DescribeTrainingJob: slow down"):
            invoke(launch_training.handler, **EVENT)


class TestHosting:
    def test_model_config_and_endpoint_share_a_name_and_carry_the_runs_tags(self, aws: FakeAws, invoke: Invoke) -> None:
        assert invoke(launch_endpoint.handler, **EVENT) == {"name": NAME, "instance_type": "ml.t2.medium"}
        for kind in ("Model", "EndpointConfig", "Endpoint"):
            found = tags(aws.resources[kind, NAME])
            assert found == {STACK_TAG: "census-segmentation", RUN_TAG: RUN, EXECUTION_TAG: EXECUTION}
        assert aws.resources["Model", NAME]["PrimaryContainer"]["ModelDataUrl"] == EVENT["artifacts"]

    def test_a_retry_goes_on_where_the_first_call_stopped(
        self, aws: FakeAws, invoke: Invoke, settings: RunSettings
    ) -> None:
        aws.refusals["CreateEndpoint", NAME] = ("InternalFailure", "try again")
        with pytest.raises(Exception, match="try again"):
            invoke(launch_endpoint.handler, **EVENT)
        assert (aws.names("Model"), aws.names("EndpointConfig"), aws.names("Endpoint")) == ([NAME], [NAME], [])
        aws.refusals.clear()
        assert invoke(launch_endpoint.handler, **EVENT)["name"] == NAME
        assert aws.names("Endpoint") == [NAME]

    def test_a_lack_of_capacity_makes_the_next_instance_type_serve_the_same_model(
        self, aws: FakeAws, invoke: Invoke
    ) -> None:
        invoke(launch_endpoint.handler, **EVENT)
        aws.resources["Endpoint", NAME] |= {"EndpointStatus": "Failed", "FailureReason": "Unable to provision"}
        assert invoke(launch_endpoint.handler, **EVENT) == {"name": f"{NAME}-2", "instance_type": "ml.m5.large"}
        assert aws.names("Model") == [NAME]

    @pytest.mark.parametrize("foreign", FOREIGN)
    @pytest.mark.parametrize("kind", ["Model", "EndpointConfig", "Endpoint"])
    def test_a_foreign_resource_of_that_name_fails_the_run(
        self, aws: FakeAws, invoke: Invoke, kind: str, foreign: list[dict[str, str]]
    ) -> None:
        aws.add(kind, NAME, foreign, EndpointStatus="InService", EndpointConfigName="someone-elses")
        with pytest.raises(Exception, match=f"{kind.lower()}/{NAME} exists but") as taken:
            invoke(launch_endpoint.handler, **EVENT)
        assert type(taken.value).__name__ == "NameTaken"
        assert kind == "Endpoint" or aws.names("Endpoint") == []

    @pytest.mark.parametrize("operation", ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"])
    @pytest.mark.parametrize("code", ["ValidationException", "AccessDeniedException"])
    def test_any_other_error_keeps_its_name(self, aws: FakeAws, invoke: Invoke, operation: str, code: str) -> None:
        aws.refusals[operation, NAME] = (code, "that is not allowed")
        with pytest.raises(Exception, match=f"{operation}: that is not allowed") as refused:
            invoke(launch_endpoint.handler, **EVENT)
        assert type(refused.value).__name__ == code
