"""The runtime API: InvokeEndpoint."""

from __future__ import annotations

import random
import re
from urllib.parse import unquote

from embedded_aws.faults.spec import Faults
from embedded_aws.sagemaker.containers import ContainerDiedError
from embedded_aws.sagemaker.endpoint_lives import EndpointLives
from embedded_aws.sagemaker.errors import AwsError, Response
from embedded_aws.sagemaker.state import Endpoint, Scope, State, Variant
from embedded_aws.sagemaker.tasks import endpoint_log_group

MAX_BODY_BYTES = 6_291_456
_CONTAINER_SECONDS = 60
_PATH = re.compile(r"/endpoints/(?P<name>[^/]+)/invocations/?")
_SERVING = ("InService", "Updating", "RollingBack", "SystemUpdating")


def endpoint_of(path: str) -> str | None:
    """Return the endpoint that a request's path invokes, or None for another path."""
    found = _PATH.fullmatch(unquote(path))
    return found["name"] if found else None


class Runtime:
    """Responds to invocations by means of the endpoints' containers."""

    def __init__(self, state: State, faults: Faults, lives: EndpointLives) -> None:
        self._state = state
        self._faults = faults
        self._lives = lives

    async def invoke(self, scope: Scope, name: str, headers: dict[str, str], body: bytes) -> Response:
        """Return the response to InvokeEndpoint.

        Raises
        ------
        AwsError
            ValidationError if the endpoint or variant is not in service or the body exceeds 6 MB; ModelError if the
            container refuses the request or fails; ModelNotReadyException only if it is injected as a fault.
        """
        endpoint = self._state.region(scope).endpoints.get(name)
        if endpoint is None or endpoint.status not in _SERVING:
            raise AwsError("ValidationError", f"Endpoint {name} of account {scope.account} not found.")
        if len(body) > MAX_BODY_BYTES:
            raise AwsError("ValidationError", f"HTTP content length exceeded {MAX_BODY_BYTES} bytes.")
        variant = _choose(endpoint, headers.get("x-amzn-sagemaker-target-variant"))
        self._inject(endpoint)
        content_type = headers.get("content-type", "")
        accept = headers.get("accept", "")
        try:
            container = self._lives.container(endpoint, variant.name)
            answer = await container.ask((content_type, accept, body), _CONTAINER_SECONDS)
        except ContainerDiedError:
            raise _model_error(endpoint, 500, "the container did not answer in time") from None
        if answer[0] == "refused":
            raise _model_error(endpoint, answer[1], answer[2])
        _, form, content = answer
        if len(content) > MAX_BODY_BYTES:
            message = f"the response of {len(content)} bytes exceeds {MAX_BODY_BYTES} bytes"
            raise _model_error(endpoint, 500, message)
        # Because of the lower-case name, the gateway does not replace the type with that of the control plane.
        answered = {"content-type": form, "x-Amzn-Invoked-Production-Variant": variant.name}
        if attributes := headers.get("x-amzn-sagemaker-custom-attributes"):
            answered["X-Amzn-SageMaker-Custom-Attributes"] = attributes
        return 200, answered, content

    def _inject(self, endpoint: Endpoint) -> None:
        fault = self._faults.strike("InvokeEndpoint", endpoint.name, "model_error", "not_ready")
        if fault is None:
            return
        if fault.kind == "not_ready":
            raise AwsError("ModelNotReadyException", "Model is not ready for inference yet", 429)
        raise _model_error(endpoint, 500, fault.value or "injected by a fault")


def _choose(endpoint: Endpoint, target: str | None) -> Variant:
    if target is not None:
        for variant in endpoint.variants:
            if variant.name == target:
                return variant
        raise AwsError("ValidationError", f"Variant {target} not found on Endpoint {endpoint.name}")
    weights = [variant.weight for variant in endpoint.variants]
    if not any(weights):
        return endpoint.variants[0]
    return random.choices(endpoint.variants, weights)[0]  # noqa: S311 traffic splitting is no secret


def _model_error(endpoint: Endpoint, status: int, message: str) -> AwsError:
    side = "client" if status < 500 else "server"
    scope = endpoint.scope
    group = endpoint_log_group(endpoint.name)
    console = (
        f"https://{scope.region}.console.aws.amazon.com/cloudwatch/home?region={scope.region}"
        f"#logEventViewer:group={group}"
    )
    return AwsError(
        "ModelError",
        f'Received {side} error ({status}) from primary with message "{message}". See {console} in account '
        f"{scope.account} for more information.",
        424,
        {
            "OriginalStatusCode": status,
            "OriginalMessage": message,
            "LogStreamArn": f"arn:aws:logs:{scope.region}:{scope.account}:log-group:{group}",
        },
    )
