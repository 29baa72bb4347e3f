"""What the server tells a container to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from embedded_aws.sagemaker.role_session import Connection

TRAINING_LOG_GROUP = "/aws/sagemaker/TrainingJobs"


@dataclass(frozen=True)
class TrainingTask:
    """A training job as its container sees it.

    `request` is the CreateTrainingJob body; `artifact` is where model.tar.gz goes; `seed` makes the job repeatable.
    """

    job: str
    algorithm: str
    request: dict[str, Any]
    artifact: str
    seed: int
    connection: Connection


@dataclass(frozen=True)
class HostingTask:
    """A variant of an endpoint as its container sees it; `artifact` is where its model.tar.gz is."""

    endpoint: str
    variant: str
    algorithm: str
    artifact: str
    connection: Connection


def endpoint_log_group(endpoint: str) -> str:
    """Return the name of an endpoint's log group."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"
