"""What training jobs and hosting share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from embedded_aws.faults.spec import Faults
from embedded_aws.sagemaker.containers import ContainerHost
from embedded_aws.sagemaker.pace import Pace
from embedded_aws.sagemaker.platform import Platform
from embedded_aws.sagemaker.role_session import Connection
from embedded_aws.sagemaker.state import Scope, State


@dataclass(frozen=True)
class Dependencies:
    """The state, faults, containers and pace of one SageMaker; ``spawn`` runs a coroutine in the background."""

    platform: Platform
    state: State
    faults: Faults
    containers: ContainerHost
    pace: Pace
    spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]

    def connect(self, role_arn: str, resource_arn: str, scope: Scope) -> Connection:
        """Return a container's connection to AWS, under a session of the execution role."""
        credentials = self.platform.role_credentials(role_arn, resource_arn)
        return Connection(self.platform.endpoint_url, self.platform.ca_bundle, scope.region, credentials)
