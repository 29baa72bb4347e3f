"""The tasks that the server sends to containers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from embedded_aws.sagemaker.role_session import Connection

TRAINING_LOG_GROUP = "/aws/sagemaker/TrainingJobs"


@dataclass(frozen=True)
class TrainingTask:
    """The input of a training job's container.

    `request` is the body of CreateTrainingJob, `artifact` is the URI to write model.tar.gz to, and `seed` makes the job
    repeatable.
    """

    job: str
    algorithm: str
    request: dict[str, Any]
    artifact: str
    seed: int
    connection: Connection


@dataclass(frozen=True)
class HostingTask:
    """The input of the container of an endpoint's variant; `artifact` is the URI of its model.tar.gz."""

    endpoint: str
    variant: str
    algorithm: str
    artifact: str
    connection: Connection


def endpoint_log_group(endpoint: str) -> str:
    """Return the name of an endpoint's log group."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"
