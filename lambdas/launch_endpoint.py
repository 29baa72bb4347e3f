"""Launches the endpoint that hosts a stage's trained model."""

from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

from contract.payloads import Launched, LaunchEndpointEvent
from jobs.sagemaker.requests import endpoint, endpoint_config, model
from lambdas.support.errors import NOT_FOUND, code_of, message_of
from lambdas.support.launching import Attempt, check_ours, launch, once_visible, redrives_of
from lambdas.support.runtime import client, entry_point, settings


class EndpointLauncher:
    """Launches endpoints for one event."""

    def __init__(self, event: LaunchEndpointEvent) -> None:
        self.instance_types = settings().hosting_instance_types
        self._event = event

    def find(self, name: str) -> Attempt | None:
        """Return the run's endpoint with this name, if there is one."""
        sagemaker = client("sagemaker")
        try:
            found = sagemaker.describe_endpoint(EndpointName=name)
        except ClientError as error:
            if code_of(error) in NOT_FOUND:
                return None
            raise
        check_ours(found["EndpointArn"], self._event["run_id"])
        config = sagemaker.describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
        return Attempt(
            instance_type=config["ProductionVariants"][0]["InstanceType"],
            status=found["EndpointStatus"],
            failure_reason=found.get("FailureReason", ""),
        )

    def create(self, name: str, instance_type: str) -> None:
        """Create the model, the endpoint config and the endpoint. Those that an earlier call created are kept."""
        stage, run_id = self._event["stage"], self._event["run_id"]
        run = {"run_id": run_id, "execution_arn": self._event["execution"]["Id"]}
        _create("Model", model(settings(), stage, artifacts=self._event["artifacts"], **run), run_id)
        config = endpoint_config(settings(), stage, name=name, instance_type=instance_type, **run)
        _create("EndpointConfig", config, run_id)
        _create("Endpoint", endpoint(settings(), name=name, **run), run_id)


def _create(kind: str, body: dict[str, Any], run_id: str) -> None:
    sagemaker, name, operation = client("sagemaker"), f"{kind}Name", xform_name(kind)
    try:
        once_visible(getattr(sagemaker, f"create_{operation}"), **body)
    except ClientError as error:
        if code_of(error) != "ValidationException" or "already existing" not in message_of(error):
            raise
        found = once_visible(getattr(sagemaker, f"describe_{operation}"), **{name: body[name]})
        check_ours(found[f"{kind}Arn"], run_id)


@entry_point
def handler(event: LaunchEndpointEvent, _context: Any) -> Launched:
    """Launch ``event["stage"]``'s endpoint and return its name and instance type."""
    redrives = redrives_of(event["execution"])
    return launch(EndpointLauncher(event), settings(), event["stage"], event["run_id"], redrives)
