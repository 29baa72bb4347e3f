"""Host a stage's trained model: model, endpoint config, endpoint."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from jobs.sagemaker.requests import endpoint, endpoint_config, model
from lambdas.support.errors import code_of, message_of
from lambdas.support.launching import Attempt, launch, redrives_of
from lambdas.support.runtime import client, entry_point, settings


class EndpointLauncher:
    """Launches endpoints for one event."""

    def __init__(self, event: dict[str, Any]) -> None:
        self.instance_types = settings().hosting_instance_types
        self._event = event

    def find(self, name: str) -> Attempt | None:
        """Return the endpoint of that name, if there is one."""
        sagemaker = client("sagemaker")
        try:
            found = sagemaker.describe_endpoint(EndpointName=name)
        except ClientError as error:
            if code_of(error) == "ValidationException":  # "Could not find endpoint …"
                return None
            raise
        config = sagemaker.describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
        return Attempt(
            arn=found["EndpointArn"],
            instance_type=config["ProductionVariants"][0]["InstanceType"],
            status=found["EndpointStatus"],
            failure_reason=found.get("FailureReason", ""),
        )

    def create(self, name: str, instance_type: str) -> None:
        """Create the model, the config and the endpoint, each unless an earlier call did."""
        sagemaker, event = client("sagemaker"), self._event
        run = {"run_id": event["run_id"], "execution_arn": event["execution"]["Id"]}
        _create(sagemaker.create_model, model(settings(), event["stage"], artifacts=event["artifacts"], **run))
        config = endpoint_config(settings(), event["stage"], name=name, instance_type=instance_type, **run)
        _create(sagemaker.create_endpoint_config, config)
        _create(sagemaker.create_endpoint, endpoint(settings(), name=name, **run))


def _create(operation: Callable[..., Any], body: dict[str, Any]) -> None:
    try:
        operation(**body)
    except ClientError as error:
        if code_of(error) != "ValidationException" or "already existing" not in message_of(error):
            raise


@entry_point
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Launch ``event["stage"]``'s endpoint and return its name and instance type."""
    return dict(
        launch(
            EndpointLauncher(event),
            settings(),
            event["stage"],
            event["run_id"],
            redrives_of(event["execution"]),
        )
    )
