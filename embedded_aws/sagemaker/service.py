"""The embedded SageMaker: dispatches requests to the operations, and counts the calls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from embedded_aws.faults.spec import Fault, Faults
from embedded_aws.sagemaker import operation_faults
from embedded_aws.sagemaker.call_counts import CallCounts
from embedded_aws.sagemaker.containers import ContainerHost
from embedded_aws.sagemaker.dependencies import Dependencies
from embedded_aws.sagemaker.endpoint_lives import EndpointLives
from embedded_aws.sagemaker.endpoints import Endpoints
from embedded_aws.sagemaker.errors import AwsError, Response, success, unknown_operation
from embedded_aws.sagemaker.models import Models
from embedded_aws.sagemaker.pace import Pace
from embedded_aws.sagemaker.platform import Platform
from embedded_aws.sagemaker.quotas import quotas
from embedded_aws.sagemaker.request import Request
from embedded_aws.sagemaker.runtime import Runtime, endpoint_of
from embedded_aws.sagemaker.state import Scope, State
from embedded_aws.sagemaker.tags import Tags, as_list
from embedded_aws.sagemaker.training import TrainingJobs
from embedded_aws.sagemaker.validation import check, parse_body

_RESET_SECONDS = 10
_INVOKE = "InvokeEndpoint"
_NAME_MEMBERS = ("TrainingJobName", "EndpointName", "EndpointConfigName", "ModelName", "ResourceArn", "NameContains")
_ARN_KINDS = {
    "TrainingJob": ("training-job", "TrainingJobName"),
    "EndpointConfig": ("endpoint-config", "EndpointConfigName"),
    "EndpointWeightsAndCapacities": ("endpoint", "EndpointName"),
    "Endpoint": ("endpoint", "EndpointName"),
    "Model": ("model", "ModelName"),
}

logger = logging.getLogger("sagemaker")


class SageMaker:
    """The service; one instance per server.

    Parameters
    ----------
    platform
        The AWS that it is part of.
    containers
        Where its training jobs and endpoints run.
    pace
        How long jobs and endpoints take.
    """

    def __init__(self, platform: Platform, containers: ContainerHost, pace: Pace) -> None:
        self.state = State()
        self.calls = CallCounts()
        self.faults = Faults([])
        self._platform = platform
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        shared = Dependencies(platform, self.state, self.faults, containers, pace, self._spawn)
        self._endpoint_lives = EndpointLives(shared)
        models = Models(shared)
        endpoints = Endpoints(shared, models, self._endpoint_lives)
        self._operations: dict[str, Callable[[Request], dict[str, Any] | None]] = (
            TrainingJobs(shared).operations | models.operations | endpoints.operations | Tags(self.state).operations
        )
        self.faults.operations = [*self._operations, _INVOKE]
        self._runtime = Runtime(self.state, self.faults, self._endpoint_lives)

    async def handle(  # noqa: PLR0917 - a request is these six values everywhere
        self, method: str, path: str, headers: dict[str, str], body: bytes, scope: Scope, caller: str
    ) -> Response:
        """Handle a request that the gateway has authenticated and authorized.

        Parameters
        ----------
        caller
            The access key id that signed the request.
        """
        target = _operation(headers)
        invoked = endpoint_of(path) if method == "POST" and not target else None
        operation = _INVOKE if invoked is not None else target
        try:
            if invoked is not None:
                fault, response = await self._invoke(scope, invoked, headers, body)
            elif target in self._operations:
                fault, response = await self._control(target, body, scope, caller)
            else:
                self.calls.add(operation or path, "UnknownOperationException")
                return unknown_operation()
        except AwsError as error:
            self.calls.add(operation, error.code)
            return error.to_runtime() if invoked is not None else error.to_control_plane()
        broken = fault is not None and fault.kind in operation_faults.BREAKING
        self.calls.add(operation, "ConnectionReset" if response is None else "ok")
        if response is not None and not broken:
            return response
        self._platform.break_connection(headers)
        return operation_faults.broken_connection()

    def reset(self) -> None:
        """Delete all state; ministack's reset calls this from another thread."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._end_all(), self._loop).result(_RESET_SECONDS)
        self.state.clear()
        self.faults.replace([])
        self.calls.clear()

    def tagged_resources(self) -> Iterable[tuple[str, list[dict[str, str]]]]:
        """Yield the ARN and the tags of every resource, for conditions on ``aws:ResourceTag``."""
        for resource in self.state.all_resources():
            yield resource.arn, as_list(resource.tags)

    def quotas(self) -> list[dict[str, Any]]:
        """Return the account's quotas for instances; see :func:`embedded_aws.sagemaker.quotas.quotas`."""
        return quotas(self._platform, self.faults)

    async def _control(
        self, operation: str, body: bytes, scope: Scope, caller: str
    ) -> tuple[Fault | None, Response | None]:
        params = parse_body(body)
        name = next((params[member] for member in _NAME_MEMBERS if isinstance(params.get(member), str)), "")
        types = self._instance_types(scope, operation, params)
        fault = await operation_faults.strike(self.faults, operation, name, types)
        if fault is not None and fault.kind == "reset":
            return fault, None
        check(params, self._platform.operation_model(operation).input_shape)
        request = Request(operation, params, scope, caller, self._platform)
        return fault, success(self._operations[operation](request))

    async def _invoke(
        self, scope: Scope, name: str, headers: dict[str, str], body: bytes
    ) -> tuple[Fault | None, Response | None]:
        fault = await operation_faults.strike(self.faults, _INVOKE, name)
        if fault is not None and fault.kind == "reset":
            return fault, None
        return fault, await self._runtime.invoke(scope, name, headers, body)

    def _instance_types(self, scope: Scope, operation: str, params: dict[str, Any]) -> list[str]:
        """Return the instance types that a request asks for, directly or through its endpoint configuration."""
        if operation == "CreateTrainingJob":
            resources = params.get("ResourceConfig") or {}
            return [resources.get("InstanceType", "")]
        config = self.state.region(scope).configs.get(params.get("EndpointConfigName", ""))
        variants = params.get("ProductionVariants") or (config.request["ProductionVariants"] if config else [])
        return [variant.get("InstanceType", "") for variant in variants]

    async def _end_all(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        for container in self._endpoint_lives.drain():
            container.kill()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._loop = asyncio.get_running_loop()
        task = self._loop.create_task(work)
        # The event loop keeps only weak references to tasks.
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("the life of a job or an endpoint ended with an error", exc_info=error)


def resource_arn(path: str, headers: dict[str, str], body: bytes, scope: Scope) -> str:
    """Return the ARN that a request acts on, or ``*`` if SageMaker authorizes it without one (the List calls)."""
    operation = _operation(headers)
    invoked = endpoint_of(path)
    if invoked is not None and not operation:
        return scope.arn("endpoint", invoked)
    try:
        params = parse_body(body)
    except AwsError:
        return "*"
    if isinstance(arn := params.get("ResourceArn"), str):
        return arn
    for ending, (kind, member) in _ARN_KINDS.items():
        if operation.endswith(ending) and isinstance(name := params.get(member), str):
            return scope.arn(kind, name)
    return "*"


def _operation(headers: dict[str, str]) -> str:
    return headers.get("x-amz-target", "").rpartition(".")[2]
