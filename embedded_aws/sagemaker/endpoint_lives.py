"""The life of an endpoint: its containers and its statuses."""

from __future__ import annotations

import asyncio
import time

from embedded_aws.sagemaker.containers import Container, ContainerDiedError
from embedded_aws.sagemaker.dependencies import Dependencies
from embedded_aws.sagemaker.models import container_of
from embedded_aws.sagemaker.state import Endpoint, Resource, Variant, now
from embedded_aws.sagemaker.tasks import HostingTask

STUCK_SECONDS = 3_600
"""How long an endpoint whose configuration or model is deleted while it is being created stays in ``Creating``."""

_CAPACITY_REASON = "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error."


class EndpointLives:
    """Starts, replaces and ends the containers of all endpoints."""

    def __init__(self, shared: Dependencies) -> None:
        self._state = shared.state
        self._faults = shared.faults
        self._containers = shared.containers
        self._pace = shared.pace
        self._connect = shared.connect
        self._serving: dict[tuple[str, str], Container] = {}

    def container(self, endpoint: Endpoint, variant: str) -> Container:
        """Return the running container of a variant."""
        return self._serving[endpoint.arn, variant]

    def drain(self) -> list[Container]:
        """Return all running containers and forget them."""
        containers = list(self._serving.values())
        self._serving.clear()
        return containers

    async def bring_up(self, endpoint: Endpoint, config: Resource, variants: list[Variant]) -> None:
        """Bring a new endpoint into service, or fail it."""
        failure = await self._start(endpoint, config, variants)
        if self._has_lost_its_parts(endpoint):
            # amazon-sagemaker-examples#3432: the endpoint stays Creating for about an hour, and cannot be deleted.
            await asyncio.sleep(STUCK_SECONDS * self._pace.time_scale)
            failure = "The endpoint configuration or the model was deleted while the endpoint was being created."
        endpoint.failure = failure
        endpoint.status = "Failed" if failure else "InService"
        endpoint.touch()

    def _has_lost_its_parts(self, endpoint: Endpoint) -> bool:
        """Return whether the configuration or a model of an endpoint was deleted."""
        region = self._state.region(endpoint.scope)
        return endpoint.config not in region.configs or any(
            variant.model not in region.models for variant in endpoint.variants
        )

    async def replace(self, endpoint: Endpoint, config: Resource, variants: list[Variant]) -> None:
        """Serve new variants instead of the old ones, or roll back."""
        old = {variant.name: self._serving[endpoint.arn, variant.name] for variant in endpoint.variants}
        failure = await self._start(endpoint, config, variants, least=self._pace.updating)
        if failure:
            # SageMaker rolls back: the old variants continue to serve, and the endpoint reports the reason.
            for name, container in old.items():
                self._serving[endpoint.arn, name] = container
            endpoint.failure = failure
        else:
            for container in old.values():
                container.kill()
            for name in old.keys() - {variant.name for variant in variants}:
                del self._serving[endpoint.arn, name]
            endpoint.variants, endpoint.config, endpoint.failure = variants, config.name, ""
        endpoint.status = "InService"
        endpoint.touch()

    async def reweigh(self, endpoint: Endpoint) -> None:
        """Apply the desired weights and instance counts."""
        await asyncio.sleep(self._pace.updating)
        for variant in endpoint.variants:
            variant.weight, variant.count = variant.desired_weight, variant.desired_count
        endpoint.status = "InService"
        endpoint.touch()

    async def delete(self, endpoint: Endpoint) -> None:
        """End the containers and remove the endpoint."""
        for variant in endpoint.variants:
            if container := self._serving.pop((endpoint.arn, variant.name), None):
                container.kill()
        if stuck := self._faults.strike("Endpoint", endpoint.name, "stuck_deleting"):
            await self._faults.wait_until_lifted(stuck)
        await asyncio.sleep(self._pace.deleting)
        self._state.region(endpoint.scope).endpoints.pop(endpoint.name, None)

    async def _start(
        self, endpoint: Endpoint, config: Resource, variants: list[Variant], least: float | None = None
    ) -> str:
        """Start the variants' containers at the pace; return the reason if this fails, else an empty string."""
        pace = max(self._pace.hosting(variant.algorithm) for variant in variants) if least is None else least
        if slow := self._faults.strike("Endpoint", endpoint.name, "slow"):
            pace += slow.seconds
        due = time.monotonic() + pace
        if stuck := self._faults.strike("Endpoint", endpoint.name, "stuck"):
            await self._faults.wait_until_lifted(stuck)
        failure = self._injected_failure(endpoint, config)
        if not failure:
            failure = next(filter(None, [await self._start_variant(endpoint, variant) for variant in variants]), "")
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        return failure

    def _injected_failure(self, endpoint: Endpoint, config: Resource) -> str:
        types = [variant["InstanceType"] for variant in config.request["ProductionVariants"]]
        if self._faults.strike("Endpoint", endpoint.name, "capacity", instance_types=types):
            return _CAPACITY_REASON
        if fault := self._faults.strike("Endpoint", endpoint.name, "failed"):
            return fault.value or "The primary container did not pass the ping health check."
        return ""

    async def _start_variant(self, endpoint: Endpoint, variant: Variant) -> str:
        model = self._state.region(endpoint.scope).models.get(variant.model)
        if model is None:
            return f'Could not find model "{endpoint.scope.arn("model", variant.model)}".'
        if not variant.algorithm:
            return f"The embedded SageMaker hosts only the built-in pca and kmeans, not {variant.image}."
        definition = container_of(model)
        url = definition.get("ModelDataUrl", "")
        role = model.request.get("ExecutionRoleArn", "")
        connection = self._connect(role, endpoint.arn, endpoint.scope)
        task = HostingTask(endpoint.name, variant.name, variant.algorithm, url, connection)
        try:
            container = await self._containers.launch(task)
            outcome = await container.receive()
        except ContainerDiedError:
            return "Request to service failed. If failure persists after retry, contact customer support."
        if outcome[0] != "ready":
            container.kill()
            return _loading_failure(variant, url, *outcome[1:])
        variant.resolved = now()
        self._serving[endpoint.arn, variant.name] = container
        return ""


def _loading_failure(variant: Variant, url: str, reason: str, from_s3: bool) -> str:
    if from_s3:
        return (
            f'Failed to download model data for container "container_1" from URL: "{url}". Please ensure that there is '
            "an object located at the URL and that the role passed to CreateModel has permissions to download the "
            f"object. {reason}"
        )
    return f"The primary container for production variant {variant.name} did not pass the ping health check. {reason}"
