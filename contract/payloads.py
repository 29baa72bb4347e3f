"""What the state machine sends to each handler, and what the handler returns.

A test compares these types with the definition that is synthesized, so a field that is renamed on one side only fails
that test. Field names in capitals are those of SageMaker's and Step Functions' own documents.
"""

from typing import Any, NotRequired, TypedDict

from contract.names import Stage
from contract.run_settings import Mode


class Source(TypedDict):
    """The version of an object that a run reads."""

    bucket: str
    key: str
    version_id: str | None
    etag: str
    size: int
    """In bytes."""


class Execution(TypedDict):
    """The state machine's context object ``$$.Execution``.

    https://docs.aws.amazon.com/step-functions/latest/dg/input-output-contextobject.html
    """

    Id: str
    """The execution's ARN."""
    RedriveCount: NotRequired[int]


class Shard(TypedDict):
    """One item of shards.json, over which the state machine maps: the rows that one request to an endpoint carries.

    `part` is the shard's name, and `first_row` the index of its first row among all rows that were kept, from 0. The
    bytes of regions.csv from `regions_start` to before `regions_end` hold its regions.
    """

    part: str
    rows: int
    first_row: int
    regions_start: int
    regions_end: int


class Started(TypedDict):
    """The run of an object version; ``started`` is false if the run existed already."""

    run_id: str
    started: bool
    execution_arn: NotRequired[str]


class Skipped(TypedDict):
    """Why an object starts no run."""

    skipped: str


class TakeEvent(TypedDict):
    """The time to wait for an event that has not reached the queue yet."""

    wait_seconds: float


class Taken(TypedDict):
    """The number of events that were taken from the queue."""

    taken: int


class PrepareEvent(TypedDict):
    """The object version to prepare."""

    run_id: str
    input: Source


class Prepared(TypedDict):
    """The size of the prepared data, the number of its shards, and the key of shards.json.

    ``vintage`` is the year that the input describes, if its metadata or its name says so. ``mode`` is the run's.
    """

    rows: int
    features: int
    shards: int
    shards_key: str
    vintage: int | None
    mode: Mode


class LaunchEvent(TypedDict):
    """The stage of a run for which something is launched."""

    stage: Stage
    run_id: str
    execution: Execution


class LaunchTrainingEvent(LaunchEvent):
    """The training data's dimensions; ``clusters`` is sent only if the run chose their number itself."""

    rows: int
    features: int
    shards: int
    clusters: NotRequired[int]


class LaunchEndpointEvent(LaunchEvent):
    """The S3 URI of the model to host."""

    artifacts: str


class Launched(TypedDict):
    """The training job or endpoint that was launched, or found launched."""

    name: str
    instance_type: str


class ShardEvent(TypedDict):
    """One shard for one model; ``endpoint`` is sent where models are hosted, ``artifacts`` is the model's S3 URI."""

    run_id: str
    endpoint: NotRequired[str]
    artifacts: str
    shard: Shard


class LabelEvent(TypedDict):
    """One shard to label; ``artifacts`` is not sent by a run that applies the model of the previous one."""

    run_id: str
    endpoint: NotRequired[str]
    artifacts: NotRequired[str]
    shard: Shard


class Projected(TypedDict):
    """The number of components that were kept."""

    components: int


class Labeled(TypedDict):
    """The number of rows that were labeled."""

    rows: int


class ChooseClustersEvent(TypedDict):
    """The run for which to choose the number of clusters."""

    run_id: str


class ChosenClusters(TypedDict):
    """The number of clusters to train with."""

    clusters: int


class FreshStartsEvent(TypedDict):
    """The run whose sample is clustered, and the number of clusters."""

    run_id: str
    clusters: int


class RefineEvent(TypedDict):
    """The S3 URI of the training job's model."""

    run_id: str
    artifacts: str


class Refined(TypedDict):
    """The S3 URI of the refined model."""

    artifacts: str


class StabilityEvent(TypedDict):
    """The S3 URI of the model that is hosted."""

    run_id: str
    artifacts: str


class Refitted(TypedDict):
    """The number of bootstrap refits."""

    refits: int


class AlignEvent(TypedDict):
    """The S3 URIs of both models that label the rows; ``vintage`` is the year that the input describes."""

    run_id: str
    input: Source
    vintage: int | None
    pca_artifacts: str
    kmeans_artifacts: str


class AdoptEvent(TypedDict):
    """The run that applies the model of the previous one; ``vintage`` is the year that the input describes."""

    run_id: str
    input: Source
    vintage: int | None


class Adopted(TypedDict):
    """The number of segments of the model that is applied."""

    segments: int


class AlignedSegments(TypedDict):
    """The number of segments that the previous run of the series has, too."""

    kept: int


class PublishEvent(TypedDict):
    """Both stages' training jobs as SageMaker describes them; where models are hosted, also the endpoints.

    ``kmeans_artifacts`` is the S3 URI of the k-means model that labeled the rows. A run that applies the model of the
    previous one has none of these.
    """

    run_id: str
    input: Source
    execution: Execution
    pca_training: NotRequired[dict[str, Any]]
    pca_endpoint: NotRequired[dict[str, Any]]
    pca_hosting_launch: NotRequired[Launched]
    kmeans_training: NotRequired[dict[str, Any]]
    kmeans_endpoint: NotRequired[dict[str, Any]]
    kmeans_hosting_launch: NotRequired[Launched]
    kmeans_artifacts: NotRequired[str]


class StateError(TypedDict):
    """An error as Step Functions gives it to a Catch."""

    Error: str
    Cause: NotRequired[str]


class NotedFailure(TypedDict):
    """The first error of a run; ``cleanup`` is the error of the clean-up that followed, if that failed too."""

    phase: str
    error: StateError
    execution: Execution
    cleanup: NotRequired[StateError]


class RecordFailureEvent(TypedDict):
    """The failure to record."""

    run_id: str
    input: Source
    failure: NotedFailure
    execution: Execution


class Resumption(TypedDict):
    """The phase at which a redriven run resumes."""

    phase: str


class TeardownEvent(TypedDict):
    """The stage to tear down.

    Attributes
    ----------
    started
        When the teardown began, in ISO 8601.
    failed
        Whether the run failed, and so may have created a resource a moment ago.
    """

    run_id: str
    stage: Stage
    started: str
    failed: bool


class Remaining(TypedDict):
    """The resources that still exist."""

    pending: list[str]


class Swept(TypedDict):
    """The resources that no running execution owns, and those of them that still exist."""

    found: list[str]
    pending: list[str]
