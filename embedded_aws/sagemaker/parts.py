"""What the parts of the control plane share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from embedded_aws.faults.spec import Faults
from embedded_aws.sagemaker.containers import ContainerHost
from embedded_aws.sagemaker.pace import Pace
from embedded_aws.sagemaker.role_session import Connection
from embedded_aws.sagemaker.state import State


@dataclass(frozen=True)
class Backstage:
    """State, faults, containers and pace of one SageMaker.

    `connect` makes a container's connection to AWS of a role's credentials and a region; `spawn` runs a coroutine
    beside the requests.
    """

    state: State
    faults: Faults
    containers: ContainerHost
    pace: Pace
    connect: Callable[[dict[str, str], str], Connection]
    spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
