"""The content of manifest.json: where a result came from, and what it cost in time."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, TypedDict

from contract.names import ROOM_STATE, Stage
from contract.payloads import Launched, PublishEvent
from contract.run_settings import RunSettings
from jobs.segments.refine import RefinementSummary

# The states that start the teardown of a stage, by their names in the state machine.
TEARDOWN_STATES = {"pca": "TearDownPca", "kmeans": "TearDownKMeans"}


class Input(TypedDict):
    """The CSV that was segmented."""

    uri: str
    version_id: str | None
    etag: str
    bytes: int
    sha256: str


class Execution(TypedDict):
    """The execution of the state machine."""

    arn: str
    redrives: int


class Step(TypedDict):
    """A state of the state machine, from when it was first entered until it was last left (ISO 8601)."""

    name: str
    start: str
    end: str
    seconds: float


class TrainingJob(TypedDict):
    """A finished training job; `billable_seconds` is the sum over its instances."""

    stage: Stage
    name: str
    instance_type: str
    instance_count: int
    image: str
    hyperparameters: dict[str, str]
    artifacts: str
    billable_seconds: int


class Endpoint(TypedDict):
    """An endpoint, from when it was in service until its teardown began; `seconds` is the sum over its instances."""

    stage: Stage
    name: str
    instance_type: str
    instance_count: int
    in_service: str
    torn_down: str
    seconds: float


class Manifest(TypedDict):
    """The content of manifest.json.

    `run_seconds` is without `waited_for_room_seconds`, the time that the run waited for room under quotas.
    `refinement` compares SageMaker's centroids with the refined ones; it is null if `refine` is false.
    `applied_run_id` is the run whose model was applied; it is null if the run trained its own.
    """

    run_id: str
    input: Input
    execution: Execution
    settings: dict[str, Any]
    inference: Literal["endpoint", "function"]
    applied_run_id: str | None
    training_jobs: list[TrainingJob]
    refinement: RefinementSummary | None
    endpoints: list[Endpoint]
    steps: list[Step]
    run_seconds: float
    waited_for_room_seconds: float
    billable_training_seconds: int
    endpoint_seconds: float
    code_version: str


def describe_run(
    event: PublishEvent,
    *,
    sha256: str,
    refinement: RefinementSummary | None,
    applied_run_id: str | None = None,
    history: Iterable[Mapping[str, Any]],
    settings: RunSettings,
) -> Manifest:
    """Describe a run by what the state machine and SageMaker recorded of it.

    Parameters
    ----------
    event
        What the state machine collected up to Publish.
    sha256
        Of the CSV as it was read.
    refinement
        The content of refinement.json, if the centroids were refined.
    applied_run_id
        The run whose model was applied, if none was trained.
    history
        The events of the execution, oldest first.
    """
    history = list(history)
    walked = steps(history)
    began = {step["name"]: step["start"] for step in walked}
    whole = _seconds_between(walked[0]["start"], walked[-1]["end"]) if walked else 0.0
    waited = _seconds_waited_for_room(history)
    training_jobs, endpoints = [], []
    if "kmeans_training" in event:
        training_jobs = [_training_job("pca", event["pca_training"]), _training_job("kmeans", event["kmeans_training"])]
    if "kmeans_endpoint" in event:
        endpoints = [
            _endpoint("pca", event["pca_endpoint"], event["pca_hosting_launch"], began, settings),
            _endpoint("kmeans", event["kmeans_endpoint"], event["kmeans_hosting_launch"], began, settings),
        ]
    source = event["input"]
    return Manifest(
        run_id=event["run_id"],
        input=Input(
            uri=f"s3://{source['bucket']}/{source['key']}",
            version_id=source["version_id"],
            etag=source["etag"],
            bytes=source["size"],
            sha256=sha256,
        ),
        execution=Execution(
            arn=event["execution"]["Id"],
            redrives=int(event["execution"].get("RedriveCount", 0)),
        ),
        settings=settings.as_dict(),
        inference="function" if applied_run_id else settings.inference,
        applied_run_id=applied_run_id,
        training_jobs=training_jobs,
        refinement=refinement,
        endpoints=endpoints,
        steps=walked,
        run_seconds=round(whole - waited, 3),
        waited_for_room_seconds=waited,
        billable_training_seconds=sum(job["billable_seconds"] for job in training_jobs),
        endpoint_seconds=sum(endpoint["seconds"] for endpoint in endpoints),
        code_version=settings.code_version,
    )


def steps(history: Iterable[Mapping[str, Any]]) -> list[Step]:
    """Return the states that an execution went through, in the order in which it first entered them.

    Parameters
    ----------
    history
        The events of GetExecutionHistory, oldest first. A state that is still running ends with the last event.
    """
    started: dict[str, str] = {}
    ended: dict[str, str] = {}
    latest = ""
    for event in history:
        latest = event["timestamp"].isoformat()
        if "stateEnteredEventDetails" in event:
            started.setdefault(event["stateEnteredEventDetails"]["name"], latest)
        elif "stateExitedEventDetails" in event:
            ended[event["stateExitedEventDetails"]["name"]] = latest
    return [
        Step(name=name, start=start, end=(end := ended.get(name, latest)), seconds=_seconds_between(start, end))
        for name, start in started.items()
    ]


def _seconds_waited_for_room(history: Iterable[Mapping[str, Any]]) -> float:
    """Return how long an execution was in the states that wait for room, each time that it entered one."""
    waited = 0.0
    entered: dict[str, datetime] = {}
    for event in history:
        if (name := _name_of(event, "stateEnteredEventDetails")).startswith(ROOM_STATE.format("")):
            entered[name] = event["timestamp"]
        elif (name := _name_of(event, "stateExitedEventDetails")) in entered:
            waited += (event["timestamp"] - entered.pop(name)).total_seconds()
    return round(waited, 3)


def _name_of(event: Mapping[str, Any], details: str) -> str:
    return str(event.get(details, {}).get("name", ""))


def _training_job(stage: Stage, description: Mapping[str, Any]) -> TrainingJob:
    """Return the entry of a job, given the response of DescribeTrainingJob as Step Functions passes it on."""
    instances = int(description["ResourceConfig"]["InstanceCount"])
    return TrainingJob(
        stage=stage,
        name=description["TrainingJobName"],
        instance_type=description["ResourceConfig"]["InstanceType"],
        instance_count=instances,
        image=description["AlgorithmSpecification"]["TrainingImage"],
        hyperparameters=description["HyperParameters"],
        artifacts=description["ModelArtifacts"]["S3ModelArtifacts"],
        billable_seconds=int(description.get("BillableTimeInSeconds", 0)) * instances,
    )


def _endpoint(
    stage: Stage, description: Mapping[str, Any], launched: Launched, began: Mapping[str, str], settings: RunSettings
) -> Endpoint:
    """Return the entry of an endpoint, given the response of DescribeEndpoint as Step Functions passes it on."""
    in_service = datetime.fromisoformat(description["LastModifiedTime"]).isoformat()
    torn_down = began.get(TEARDOWN_STATES[stage], in_service)
    return Endpoint(
        stage=stage,
        name=description["EndpointName"],
        instance_type=launched["instance_type"],
        instance_count=settings.hosting_instance_count,
        in_service=in_service,
        torn_down=torn_down,
        seconds=_seconds_between(in_service, torn_down) * settings.hosting_instance_count,
    )


def _seconds_between(start: str, end: str) -> float:
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds(), 3)
