"""manifest.json: where a result came from, and what it took."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contract.names import STAGES, Stage
from contract.run_settings import RunSettings

# The states that start a stage's teardown, as the state machine calls them.
TEARDOWN_STATES = {"pca": "TearDownPca", "kmeans": "TearDownKMeans"}


@dataclass(frozen=True)
class Step:
    """A state of the machine, from when it was first entered to when it was last left."""

    name: str
    start: datetime
    end: datetime

    def as_dict(self) -> dict[str, Any]:
        """Return the step with its length in seconds."""
        return {
            "name": self.name,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "seconds": _seconds(self.start, self.end),
        }


def steps(history: Iterable[Mapping[str, Any]]) -> list[Step]:
    """Return the states an execution went through, in the order it first entered them.

    Parameters
    ----------
    history
        The events of GetExecutionHistory, oldest first. A state that is still running ends with the last event.
    """
    started: dict[str, datetime] = {}
    ended: dict[str, datetime] = {}
    now = None
    for event in history:
        now = event["timestamp"]
        if "stateEnteredEventDetails" in event:
            started.setdefault(event["stateEnteredEventDetails"]["name"], now)
        elif "stateExitedEventDetails" in event:
            ended[event["stateExitedEventDetails"]["name"]] = now
    return [Step(name, start, ended.get(name, now or start)) for name, start in started.items()]


@dataclass(frozen=True)
class TrainingRecord:
    """What a finished training job says of itself: DescribeTrainingJob's answer, as Step Functions keeps it."""

    stage: Stage
    answer: Mapping[str, Any]

    @property
    def billable_seconds(self) -> int:
        """Seconds that AWS bills, over all instances."""
        return int(self.answer.get("BillableTimeInSeconds", 0)) * self._instances

    @property
    def _instances(self) -> int:
        return int(self.answer["ResourceConfig"]["InstanceCount"])

    def as_dict(self) -> dict[str, Any]:
        """Return the job's entry in the manifest."""
        return {
            "stage": self.stage,
            "name": self.answer["TrainingJobName"],
            "instance_type": self.answer["ResourceConfig"]["InstanceType"],
            "instance_count": self._instances,
            "image": self.answer["AlgorithmSpecification"]["TrainingImage"],
            "hyperparameters": self.answer["HyperParameters"],
            "artifacts": self.answer["ModelArtifacts"]["S3ModelArtifacts"],
            "billable_seconds": self.billable_seconds,
        }


@dataclass(frozen=True)
class EndpointRecord:
    """An endpoint, from when it was in service to when its teardown began."""

    stage: Stage
    name: str
    instance_type: str
    instance_count: int
    in_service: datetime
    torn_down: datetime

    @property
    def seconds(self) -> float:
        """Instance seconds in service, over all instances."""
        return _seconds(self.in_service, self.torn_down) * self.instance_count

    def as_dict(self) -> dict[str, Any]:
        """Return the endpoint's entry in the manifest."""
        return {
            "stage": self.stage,
            "name": self.name,
            "instance_type": self.instance_type,
            "instance_count": self.instance_count,
            "in_service": self.in_service.isoformat(),
            "torn_down": self.torn_down.isoformat(),
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Manifest:
    """Where a result came from, and what it took."""

    run_id: str
    source: Mapping[str, Any]
    sha256: str
    execution: Mapping[str, Any]
    settings: RunSettings
    steps: list[Step]
    training: list[TrainingRecord]
    endpoints: list[EndpointRecord]

    @classmethod
    def of_state(
        cls,
        state: Mapping[str, Any],
        *,
        sha256: str,
        history: Iterable[Mapping[str, Any]],
        settings: RunSettings,
    ) -> "Manifest":
        """Read it from the state machine's data.

        Parameters
        ----------
        state
            The execution's data at Publish: ``run_id``, ``input``, ``execution`` (the context object's), and for each
            stage ``<stage>_training`` and ``<stage>_endpoint`` as SageMaker described them, and what launched it.
        sha256
            Of the CSV as it was read.
        history
            The execution's events, oldest first.
        """
        walked = steps(history)
        began = {step.name: step.start for step in walked}
        return cls(
            run_id=state["run_id"],
            source=state["input"],
            sha256=sha256,
            execution=state["execution"],
            settings=settings,
            steps=walked,
            training=[TrainingRecord(stage, state[f"{stage}_training"]) for stage in STAGES],
            endpoints=[_endpoint(stage, state, began, settings) for stage in STAGES],
        )

    @property
    def billable_training_seconds(self) -> int:
        """Billable seconds of both training jobs."""
        return sum(job.billable_seconds for job in self.training)

    @property
    def endpoint_seconds(self) -> float:
        """Instance seconds of both endpoints."""
        return sum(endpoint.seconds for endpoint in self.endpoints)

    @property
    def run_seconds(self) -> float:
        """Seconds from the execution's start to the last step seen."""
        return _seconds(self.steps[0].start, self.steps[-1].end) if self.steps else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return manifest.json's content."""
        source = self.source
        return {
            "run_id": self.run_id,
            "input": {
                "uri": f"s3://{source['bucket']}/{source['key']}",
                "version_id": source["version_id"],
                "etag": source["etag"],
                "bytes": source["size"],
                "sha256": self.sha256,
            },
            "execution": {
                "arn": self.execution["Id"],
                "redrives": int(self.execution.get("RedriveCount", 0)),
            },
            "settings": self.settings.as_dict(),
            "training_jobs": [job.as_dict() for job in self.training],
            "endpoints": [endpoint.as_dict() for endpoint in self.endpoints],
            "steps": [step.as_dict() for step in self.steps],
            "run_seconds": self.run_seconds,
            "billable_training_seconds": self.billable_training_seconds,
            "endpoint_seconds": self.endpoint_seconds,
            "code_version": self.settings.code_version,
        }


def _endpoint(
    stage: Stage, state: Mapping[str, Any], began: Mapping[str, datetime], settings: RunSettings
) -> EndpointRecord:
    described = state[f"{stage}_endpoint"]
    in_service = datetime.fromisoformat(described["LastModifiedTime"])
    return EndpointRecord(
        stage=stage,
        name=described["EndpointName"],
        instance_type=state[f"{stage}_hosting_launch"]["instance_type"],
        instance_count=settings.hosting_instance_count,
        in_service=in_service,
        torn_down=began.get(TEARDOWN_STATES[stage], in_service),
    )


def _seconds(start: datetime, end: datetime) -> float:
    return round((end - start).total_seconds(), 3)
