"""Names and limits that the stack, the handlers and the work share."""

from typing import Final, Literal, get_args

Stage = Literal["pca", "kmeans"]
"""The two models of a run."""

STAGES: Final[tuple[Stage, ...]] = ("pca", "kmeans")

TAG_PREFIX: Final = "segmentation:"
"""Every tag of ours starts with it, so settings may not use it for tags of their own."""
STACK_TAG: Final = f"{TAG_PREFIX}stack"
"""The deployment that a resource belongs to."""
RUN_TAG: Final = f"{TAG_PREFIX}run"
"""The run that a SageMaker resource belongs to."""
EXECUTION_TAG: Final = f"{TAG_PREFIX}execution"
"""The ARN of the execution that a SageMaker resource belongs to."""
ARTIFACT_TAG: Final = (f"{TAG_PREFIX}lifetime", "artifact")
"""Key and value of the tag of objects that expire.

A lifecycle rule cannot select them by their keys, because the keys start with the run's id.
"""

METRICS_NAMESPACE: Final = "CensusSegmentation"
"""The CloudWatch namespace of the metrics that handlers publish."""

Metric = Literal[
    "RowsLabeled",
    "RowsDropped",
    "RunSeconds",
    "BillableTrainingSeconds",
    "EndpointSeconds",
    "FilesRefused",
    "LeaksFound",
    "TeardownTimeouts",
]
"""The metrics that handlers publish; each has one dimension, ``service``, with the deployment's id as its value."""
METRICS: Final[tuple[Metric, ...]] = get_args(Metric)

CAPACITY_MESSAGES: Final = ("CapacityError", "InsufficientInstanceCapacity", "Unable to provision")
"""One of these occurs in SageMaker's FailureReason when it had no instance of the requested type."""

QUOTA_FULL: Final = "QuotaFull"
"""The error of a launch for which the account has a quota, all of which is in use."""

ROOM_STATE: Final = "WaitForRoomFor{}"
"""The name of the state in which a run waits until a quota has room, such as ``WaitForRoomForPcaTraining``."""

ENDPOINT_LOGS: Final = "/aws/sagemaker/Endpoints/"
"""The prefix of the log groups that SageMaker creates for endpoints; the endpoint's name follows."""

AUTO_CLUSTERS: Final = range(5, 13)
"""The numbers of clusters that ``clusters: auto`` chooses from."""

MAX_REQUEST_BYTES: Final = 6_291_456
"""The largest body that InvokeEndpoint accepts.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""
MAX_SHARD_BYTES: Final = 5_000_000
"""The largest body of the request that sends a shard to an endpoint, and of its response."""


def resource_name(deployment_id: str, run_id: str, stage: Stage, attempt: int = 1) -> str:
    """Return the name of one of a run's SageMaker resources: at most 63 of ``[a-zA-Z0-9-]``.

    Parameters
    ----------
    attempt
        1 for the first attempt. Later attempts follow a refused or failed one and have names of their own, because the
        name of a training job can never be used again.
    """
    base = f"{deployment_id}-{run_id}-{stage}"
    return base if attempt == 1 else f"{base}-{attempt}"


def resource_pattern(deployment_id: str, stage: Stage | None = None) -> str:
    """Return the IAM pattern of the names that :func:`resource_name` gives, for one stage or for both."""
    return f"{deployment_id}-*" if stage is None else f"{resource_name(deployment_id, '*', stage)}*"


def function_name(deployment_id: str, module: str) -> str:
    """Return the name of the Lambda function whose handler is ``lambdas/<module>.py``."""
    return f"{deployment_id}-{module.replace('_', '-')}"
