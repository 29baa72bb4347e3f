"""The objects and checks that training jobs and endpoints share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from embedded_aws.faults.spec import SERVICE, Faults
from embedded_aws.sagemaker.containers import ContainerHost
from embedded_aws.sagemaker.errors import AwsError, limit_exceeded
from embedded_aws.sagemaker.pace import Pace
from embedded_aws.sagemaker.platform import Platform
from embedded_aws.sagemaker.role_session import Connection
from embedded_aws.sagemaker.state import Resource, Scope, State, now

R = TypeVar("R", bound=Resource)


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

    def find(self, resources: Mapping[str, R], name: str, missing: str) -> R:
        """Return a resource that callers can see.

        Raises
        ------
        AwsError
            With the message ``missing`` if there is none, or if it was created within the lag. AWS documents the code
            ``ResourceNotFound``; most operations respond with ``ValidationException``.
        """
        found = resources.get(name)
        if found is None or self._is_hidden(found):
            fault = self.faults.strike(SERVICE, name, "not_found")
            raise AwsError(fault.value if fault is not None else "ValidationException", missing)
        return found

    def visible(self, resources: Mapping[str, R]) -> list[R]:
        """Return the resources that callers can see."""
        return [resource for resource in resources.values() if not self._is_hidden(resource)]

    def check_quota(
        self, kind: str, name: str, wanted: Iterable[tuple[str, int]], used: Iterable[tuple[str, int]]
    ) -> None:
        """Check that a new resource stays within the quotas in force.

        Parameters
        ----------
        kind
            ``TrainingJob`` or ``Endpoint``.
        wanted, used
            Instance types and numbers of instances, of the new resource and of those that exist.

        Raises
        ------
        AwsError
            ResourceLimitExceeded, as AWS words it.
        """
        wanted, used = list(wanted), list(used)
        for fault, instance_type, limit in self.faults.quotas(kind, name):
            delta, present = (
                sum(count for each, count in instances if instance_type in ("", each)) for instances in (wanted, used)
            )
            if delta and present + delta > limit:
                fault.struck += 1
                usage = "training job" if kind == "TrainingJob" else "endpoint"
                raise limit_exceeded(instance_type or "Total instances", usage, delta, limit, present)

    def _is_hidden(self, resource: Resource) -> bool:
        lag = self.faults.strike(SERVICE, resource.name, "lag")
        return lag is not None and now() - resource.created < float(lag.value)
