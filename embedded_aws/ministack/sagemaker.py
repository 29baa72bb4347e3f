"""Registers the embedded SageMaker as a service of ministack, before ministack's server starts."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from ministack import app
from ministack.core import iam_actions, responses, router
from ministack.services import stepfunctions, tagging

from embedded_aws.ministack import authorization, connections, customer_keys, networks
from embedded_aws.ministack.service_models import service_model
from embedded_aws.sagemaker.containers import ContainerHost
from embedded_aws.sagemaker.control_route import PREFIX, ControlRoute
from embedded_aws.sagemaker.errors import Response, access_denied
from embedded_aws.sagemaker.pace import Pace
from embedded_aws.sagemaker.service import SageMaker, resource_arn
from embedded_aws.sagemaker.state import Scope

_SERVICE = "sagemaker"
_SERVICE_PRINCIPAL = "sagemaker.amazonaws.com"
_TARGET_PREFIX = "SageMaker"


class MinistackPlatform:
    """ministack as the :class:`embedded_aws.sagemaker.platform.Platform` of SageMaker."""

    def __init__(self) -> None:
        self.endpoint_url = os.environ["AWS_ENDPOINT_URL"]
        self.ca_bundle = os.environ.get("AWS_CA_BUNDLE")

    def operation_model(self, operation: str) -> Any:
        """See ``Platform.operation_model``."""
        # A second copy of this model would use tens of megabytes.
        return service_model(_SERVICE).operation_model(operation)  # type: ignore[union-attr]

    def require(self, caller: str, action: str, resource_arn: str, context: dict[str, Any] | None = None) -> None:
        """See ``Platform.require``."""
        try:
            authorization.check_caller(caller, action, resource_arn, context)
        except authorization.Denied as denied:
            raise access_denied(str(denied)) from denied

    def trusts_sagemaker(self, role_arn: str) -> bool:
        """See ``Platform.trusts_sagemaker``."""
        return not app.AUTH or authorization.trusts(role_arn, _SERVICE_PRINCIPAL)

    def role_credentials(self, role_arn: str, resource_arn: str) -> dict[str, str]:
        """See ``Platform.role_credentials``."""
        session = resource_arn.rsplit(":", 1)[-1].replace("/", "-")
        return authorization.role_credentials(role_arn, session, "SageMaker")

    def role_denial(self, role_arn: str, action: str, resource_arn: str) -> str:
        """See ``Platform.role_denial``."""
        try:
            authorization.check_role(role_arn, action, resource_arn)
        except authorization.Denied as denied:
            return str(denied)
        return ""

    def key_arn(self, key: str) -> str:
        """See ``Platform.key_arn``."""
        return customer_keys.key_arn(key)

    def missing_in_vpc(self, subnet_ids: list[str], security_group_ids: list[str]) -> str:
        """See ``Platform.missing_in_vpc``."""
        return networks.missing(subnet_ids, security_group_ids)

    def break_connection(self, headers: dict[str, str]) -> None:
        """See ``Platform.break_connection``."""
        connections.break_off(headers)


def register(start_worker: Callable[[int], None], pace: str, faults: Iterable[str]) -> SageMaker:
    """Create a SageMaker and register it with ministack.

    Parameters
    ----------
    start_worker
        Starts ``embedded_aws.sagemaker.worker``, given the descriptor of its control socket.
    pace
        How long jobs and endpoints take; see ``Pace.parse``.
    faults
        The faults in force from the start; see ``embedded_aws.faults.spec``.

    Raises
    ------
    ValueError
        If the pace or a fault is malformed.
    """
    containers = ContainerHost(start_worker)
    sagemaker = SageMaker(MinistackPlatform(), containers, Pace.parse(pace))
    sagemaker.faults.replace(faults)
    _register_handler(sagemaker)
    _register_permissions(sagemaker)
    _register_step_functions()
    _register_control_route(ControlRoute(sagemaker.faults, sagemaker.calls))
    containers.warm_up()
    threading.Thread(target=_warm_up, daemon=True, name="sagemaker-warm-up").start()
    return sagemaker


def _register_handler(sagemaker: SageMaker) -> None:
    async def handle_request(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        scope = Scope(responses.get_account_id(), responses.get_region())
        caller = router.extract_access_key_id(headers, query)
        return await sagemaker.handle(method, path, headers, body, scope, caller)

    app.SERVICE_REGISTRY[_SERVICE] = {"module": _SERVICE}
    app.SERVICE_HANDLERS[_SERVICE] = handle_request
    # ministack's reset finds the service by this entry. No state is persisted.
    app._loaded_modules[_SERVICE] = SimpleNamespace(
        handle_request=handle_request, reset=sagemaker.reset, get_state=lambda: None
    )
    router.SERVICE_PATTERNS[_SERVICE] = {
        "target_prefixes": [f"{_TARGET_PREFIX}."],
        "host_patterns": [r"api\.sagemaker\.", r"runtime\.sagemaker\."],
        "credential_scope": _SERVICE,
    }


def _register_permissions(sagemaker: SageMaker) -> None:
    iam_actions.SERVICE_TO_IAM_NAMESPACE[_SERVICE] = _SERVICE
    # The runtime's model gives the IAM action of an invocation; the control plane's model gives the tagging operations.
    iam_actions._BOTOCORE_SERVICE_MAP[_SERVICE] = ["sagemaker-runtime", "sagemaker"]
    tagging._RESOURCE_TAG_COLLECTORS[_SERVICE] = sagemaker.tagged_resources
    inner_arn = iam_actions.extract_resource_arn
    inner_denial = iam_actions.access_denied_response

    def extract_resource_arn(service: str, *request: Any) -> str:
        if service == _SERVICE:
            _, path, headers, body, _, region, account = request
            return resource_arn(path, headers, body, Scope(account, region))
        found: str = inner_arn(service, *request)
        return found

    def access_denied_response(service: str, action: str, principal_arn: str, request_id: str, **details: Any) -> Any:
        if service != _SERVICE or details.get("error_code"):
            return inner_denial(service, action, principal_arn, request_id, **details)
        sagemaker.calls.add(action.partition(":")[2], "AccessDeniedException")
        message = iam_actions.identity_denial_message(
            action, principal_arn, details.get("resource_arn", "*"), details.get("explicit_deny", False)
        )
        return access_denied(message).to_control_plane()

    iam_actions.extract_resource_arn = extract_resource_arn
    iam_actions.access_denied_response = access_denied_response


def _register_step_functions() -> None:
    stepfunctions._AWS_SDK_SERVICE_MAP[_SERVICE] = {"target_prefix": _TARGET_PREFIX, "protocol": "json"}
    stepfunctions._AWS_SDK_ERROR_PREFIX[_SERVICE] = "SageMaker"


def _register_control_route(route: ControlRoute) -> None:
    inner = app._handle_admin_config_request

    async def handle_admin_config_request(path: str, method: str, body: bytes) -> Any:
        return route.respond(method, path, body) if path.startswith(PREFIX) else await inner(path, method, body)

    app._handle_admin_config_request = handle_admin_config_request


def _warm_up() -> None:
    """Load SageMaker's large service model before the first request needs it."""
    service_model(_SERVICE)
    iam_actions._tag_operations(_SERVICE)
