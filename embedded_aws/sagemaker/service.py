"""Our SageMaker as a service of ministack: registration, dispatch, faults and the record of calls.

`install` must run before ministack's server starts. Everything it touches in ministack is a private name of the pinned
version; `tests/embedded_aws/sagemaker/test_ministack_names.py` fails when one moves.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Iterable
from types import SimpleNamespace
from typing import Any

from ministack import app
from ministack.core import iam_actions, responses, router
from ministack.services import stepfunctions, tagging

from embedded_aws.faults import connections
from embedded_aws.faults import s3 as s3_faults
from embedded_aws.faults import states as state_faults
from embedded_aws.faults.spec import Fault, Faults
from embedded_aws.sagemaker.containers import ContainerHost
from embedded_aws.sagemaker.control_route import ControlRoute
from embedded_aws.sagemaker.errors import AwsError, Response, access_denied, limit_exceeded, success, unknown_operation
from embedded_aws.sagemaker.hosting import Hosting
from embedded_aws.sagemaker.operations import Ledger
from embedded_aws.sagemaker.pace import Pace
from embedded_aws.sagemaker.parts import Backstage
from embedded_aws.sagemaker.request import Request
from embedded_aws.sagemaker.role_session import Connection
from embedded_aws.sagemaker.runtime import Runtime, endpoint_of
from embedded_aws.sagemaker.state import Scope, State
from embedded_aws.sagemaker.tags import Tags, as_list
from embedded_aws.sagemaker.training import TrainingJobs
from embedded_aws.sagemaker.validation import check, parse_body

SERVICE = "sagemaker"
_TARGET_PREFIX = "SageMaker"
_RESET_SECONDS = 10
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
    """The service: one instance a server.

    Parameters
    ----------
    containers
        Where its jobs and endpoints run.
    endpoint_url, ca_bundle
        Where containers find the gateway, and what they trust.
    pace
        How long jobs and endpoints take.
    """

    def __init__(self, containers: ContainerHost, endpoint_url: str, ca_bundle: str | None, pace: Pace) -> None:
        self._endpoint_url = endpoint_url
        self._ca_bundle = ca_bundle
        self.state = State()
        self.ledger = Ledger()
        self.containers = containers
        self.faults = Faults([])
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        backstage = Backstage(self.state, self.faults, self.containers, pace, self._connect, self._spawn)
        self.hosting = Hosting(backstage)
        jobs, tags = TrainingJobs(backstage), Tags(self.state)
        self._operations: dict[str, Callable[[Request], dict[str, Any] | None]] = (
            jobs.operations | self.hosting.operations | tags.operations
        )
        self.faults.operations = [*self._operations, "InvokeEndpoint"]
        self._runtime = Runtime(self.state, self.faults, self.hosting)

    async def handle_request(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        """Answer a request that the gateway has authenticated and authorised."""
        scope = Scope(responses.get_account_id(), responses.get_region())
        invoked = endpoint_of(path) if method == "POST" and "x-amz-target" not in headers else None
        if invoked is not None:
            return await self._invoke(scope, invoked, headers, body)
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        if operation not in self._operations:
            self.ledger.note(operation or path, "UnknownOperationException")
            return unknown_operation()
        try:
            params = parse_body(body)
            name = next((params[member] for member in _NAME_MEMBERS if isinstance(params.get(member), str)), "")
            fault = await self._strike(operation, name, self._instance_types(scope, operation, params))
            if fault is not None and fault.kind == "reset":
                self.ledger.note(operation, "ConnectionReset")
                return _broken_connection(headers)
            check(params, _model().operation_model(operation).input_shape)
            caller = router.extract_access_key_id(headers, query)
            answer = success(self._operations[operation](Request(operation, params, scope, caller)))
        except AwsError as error:
            self.ledger.note(operation, error.code)
            return error.to_control_plane()
        self.ledger.note(operation, "ok")
        return _broken_connection(headers) if fault is not None and fault.kind == "lost" else answer

    def reset(self) -> None:
        """Forget everything: ministack calls it on its own reset, from a thread."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._end_all(), self._loop).result(_RESET_SECONDS)
        self.state.clear()
        self.faults.replace([])
        self.ledger.clear()

    async def _end_all(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        for container in self.hosting.drain():
            container.kill()

    def get_state(self) -> None:
        """Say that nothing is persisted."""

    def tagged_resources(self) -> Iterable[tuple[str, list[dict[str, str]]]]:
        """Yield every resource's ARN and tags, for conditions on aws:ResourceTag."""
        for resource in self.state.all_resources():
            yield resource.arn, as_list(resource.tags)

    async def _invoke(self, scope: Scope, name: str, headers: dict[str, str], body: bytes) -> Response:
        try:
            fault = await self._strike("InvokeEndpoint", name, [])
            if fault is not None and fault.kind == "reset":
                self.ledger.note("InvokeEndpoint", "ConnectionReset")
                return _broken_connection(headers)
            answer = await self._runtime.invoke(scope, name, headers, body)
        except AwsError as error:
            self.ledger.note("InvokeEndpoint", error.code)
            return error.to_runtime()
        self.ledger.note("InvokeEndpoint", "ok")
        return _broken_connection(headers) if fault is not None and fault.kind == "lost" else answer

    async def _strike(self, operation: str, name: str, types: list[str]) -> Fault | None:
        """Let a fault of this operation strike: raise its error, wait, or return one that breaks the connection."""
        kinds = ("throttle", "error", "unavailable", "denied", "invalid", "limit", "quota", "reset", "lost", "slow")
        fault = self.faults.strike(operation, name, *kinds, instance_types=types)
        if fault is None:
            return None
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        elif fault.kind not in ("reset", "lost"):
            raise _injected_error(fault, operation, name, types)
        return fault

    def _instance_types(self, scope: Scope, operation: str, params: dict[str, Any]) -> list[str]:
        """Return what instance types a request asks for, whether itself or through its configuration."""
        if operation == "CreateTrainingJob":
            resources = params.get("ResourceConfig") or {}
            return [resources.get("InstanceType", "")]
        config = self.state.region(scope).configs.get(params.get("EndpointConfigName", ""))
        variants = params.get("ProductionVariants") or (config.request["ProductionVariants"] if config else [])
        return [variant.get("InstanceType", "") for variant in variants]

    def _connect(self, credentials: dict[str, str], region: str) -> Connection:
        return Connection(self._endpoint_url, self._ca_bundle, region, credentials)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._loop = asyncio.get_running_loop()
        task = self._loop.create_task(work)
        # The loop keeps only weak references to tasks.
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("a job's or an endpoint's life ended in an error", exc_info=error)


def install(start_worker: Callable[[int], None], *, pace: str | Pace = "", faults: Iterable[str] = ()) -> SageMaker:
    """Register SageMaker in ministack, before its server starts.

    Containers find the gateway at AWS_ENDPOINT_URL, and trust AWS_CA_BUNDLE.

    Parameters
    ----------
    start_worker
        Starts `embedded_aws.sagemaker.worker`, given the descriptor of its control socket.
    pace
        A `Pace`, or a line that `Pace.parse` reads.
    faults
        Faults in force from the start; see `embedded_aws.faults.spec`.

    Raises
    ------
    ValueError
        For a pace or a fault that can't be understood.
    """
    twin = SageMaker(
        ContainerHost(start_worker),
        os.environ["AWS_ENDPOINT_URL"],
        os.environ.get("AWS_CA_BUNDLE"),
        Pace.parse(pace) if isinstance(pace, str) else pace,
    )
    twin.faults.replace(faults)
    _register_handler(twin)
    _register_permissions(twin)
    _register_step_functions()
    connections.install()
    s3_faults.install(twin.faults)
    state_faults.install(twin.faults)
    ControlRoute(twin.faults, twin.ledger).install()
    twin.containers.warm_up()
    threading.Thread(target=_warm_up, daemon=True, name="sagemaker-warm-up").start()
    return twin


def _register_handler(twin: SageMaker) -> None:
    app.SERVICE_REGISTRY[SERVICE] = {"module": SERVICE}
    app.SERVICE_HANDLERS[SERVICE] = twin.handle_request
    # By this entry ministack's reset finds the service.
    app._loaded_modules[SERVICE] = SimpleNamespace(
        handle_request=twin.handle_request, reset=twin.reset, get_state=twin.get_state
    )
    router.SERVICE_PATTERNS[SERVICE] = {
        "target_prefixes": [f"{_TARGET_PREFIX}."],
        "host_patterns": [r"api\.sagemaker\.", r"runtime\.sagemaker\."],
        "credential_scope": SERVICE,
    }


def _register_permissions(twin: SageMaker) -> None:
    iam_actions.SERVICE_TO_IAM_NAMESPACE[SERVICE] = SERVICE
    # The runtime's routes give the action of an invocation; the control plane's model says which operations tag.
    iam_actions._BOTOCORE_SERVICE_MAP[SERVICE] = ["sagemaker-runtime", "sagemaker"]
    tagging._RESOURCE_TAG_COLLECTORS[SERVICE] = twin.tagged_resources
    inner_arn = iam_actions.extract_resource_arn
    inner_denial = iam_actions.access_denied_response

    def extract_resource_arn(service: str, *request: Any) -> str:
        if service == SERVICE:
            _, path, headers, body, _, region, account = request
            return resource_arn(path, headers, body, Scope(account, region))
        found: str = inner_arn(service, *request)
        return found

    def access_denied_response(service: str, action: str, principal_arn: str, request_id: str, **details: Any) -> Any:
        if service != SERVICE or details.get("error_code"):
            return inner_denial(service, action, principal_arn, request_id, **details)
        twin.ledger.note(action.partition(":")[2], "AccessDeniedException")
        message = iam_actions.identity_denial_message(
            action, principal_arn, details.get("resource_arn", "*"), details.get("explicit_deny", False)
        )
        return access_denied(message).to_control_plane()

    iam_actions.extract_resource_arn = extract_resource_arn
    iam_actions.access_denied_response = access_denied_response


def _register_step_functions() -> None:
    stepfunctions._AWS_SDK_SERVICE_MAP[SERVICE] = {"target_prefix": _TARGET_PREFIX, "protocol": "json"}
    stepfunctions._AWS_SDK_ERROR_PREFIX[SERVICE] = "SageMaker"


def resource_arn(path: str, headers: dict[str, str], body: bytes, scope: Scope) -> str:
    """Return the ARN that a request acts on, or `*` where SageMaker authorises without one (the List calls)."""
    invoked = endpoint_of(path)
    if invoked is not None and "x-amz-target" not in headers:
        return scope.arn("endpoint", invoked)
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
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


def _model() -> Any:
    # ministack loads this model anyway for its response headers; a second copy would cost tens of megabytes.
    return responses._service_model(SERVICE)


def _warm_up() -> None:
    """Load SageMaker's large service model before the first request needs it."""
    _model()
    iam_actions._tag_operations(SERVICE)


def _injected_error(fault: Fault, operation: str, name: str, types: list[str]) -> AwsError:
    if fault.kind == "throttle":
        return AwsError("ThrottlingException", "Rate exceeded")
    if fault.kind == "error":
        return AwsError("InternalFailure", "We encountered an internal error. Please try again.", 500)
    if fault.kind == "unavailable":
        return AwsError("ServiceUnavailable", "The service is currently unavailable.", 503)
    if fault.kind == "denied":
        return access_denied(
            f"User is not authorized to perform: sagemaker:{operation} on resource: {name} because no identity-based "
            f"policy allows the sagemaker:{operation} action"
        )
    if fault.kind == "invalid":
        return AwsError("ValidationException", fault.value or "injected by a fault")
    usage = "training job" if operation == "CreateTrainingJob" else "endpoint"
    return limit_exceeded(fault.value or next(iter(types), "") or "ml.t2.medium", usage, 1)


def _broken_connection(headers: dict[str, str]) -> Response:
    """Break the connection; a caller without one gets the error that the SDK inside Step Functions would report."""
    connections.break_off(headers)
    body = {"__type": "SdkClientException", "message": "Unable to execute HTTP request: Connection reset"}
    return 500, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(body).encode()
