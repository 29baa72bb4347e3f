"""Launches a stage's training job."""

from typing import Any

from botocore.exceptions import ClientError

from contract.payloads import Launched, LaunchTrainingEvent
from jobs.sagemaker.requests import training_job
from lambdas.support.errors import NOT_FOUND, code_of
from lambdas.support.launching import Attempt, check_ours, launch, redrives_of
from lambdas.support.runtime import client, entry_point, settings


class TrainingLauncher:
    """Launches training jobs for one event."""

    def __init__(self, event: LaunchTrainingEvent) -> None:
        self.instance_types = settings().training_instance_types
        self._event = event

    def find(self, name: str) -> Attempt | None:
        """Return the run's training job with this name, if there is one."""
        try:
            job = client("sagemaker").describe_training_job(TrainingJobName=name)
        except ClientError as error:
            if code_of(error) in NOT_FOUND:
                return None
            raise
        check_ours(job["TrainingJobArn"], self._event["run_id"])
        return Attempt(
            instance_type=job["ResourceConfig"]["InstanceType"],
            status=job["TrainingJobStatus"],
            failure_reason=job.get("FailureReason", ""),
        )

    def create(self, name: str, instance_type: str) -> None:
        """Create the training job. If it was created in the meantime, use it."""
        event = self._event
        body = training_job(
            settings(),
            event["stage"],
            run_id=event["run_id"],
            execution_arn=event["execution"]["Id"],
            name=name,
            instance_type=instance_type,
            rows=event["rows"],
            features=event["features"],
            shards=event["shards"],
            # The number that ChooseClusters returned, if that state has run.
            clusters=event.get("clusters", settings().clusters),
        )
        try:
            client("sagemaker").create_training_job(**body)
        except ClientError as error:
            if code_of(error) != "ResourceInUse":
                raise
            self.find(name)  # raises NameTaken if the job belongs to another run


@entry_point
def handler(event: LaunchTrainingEvent, _context: Any) -> Launched:
    """Launch ``event["stage"]``'s training job and return its name and instance type."""
    redrives = redrives_of(event["execution"])
    return launch(TrainingLauncher(event), settings(), event["stage"], event["run_id"], redrives)
