"""Registers the operations of Service Quotas and Cost Explorer that check an account before a deployment."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ministack import app
from ministack.core import iam_actions, responses, router

Operation = Callable[[dict[str, Any]], dict[str, Any]]

_PAGE = 100


def register(sagemaker_quotas: Callable[[], list[dict[str, Any]]]) -> None:
    """Register both services with ministack.

    Parameters
    ----------
    sagemaker_quotas
        Returns SageMaker's quotas in the form of ListServiceQuotas.
    """

    def list_service_quotas(request: dict[str, Any]) -> dict[str, Any]:
        found = sagemaker_quotas() if request["ServiceCode"] == "sagemaker" else []
        first = int(request.get("NextToken", 0))
        following = {"NextToken": str(first + _PAGE)} if first + _PAGE < len(found) else {}
        return {"Quotas": found[first : first + _PAGE], **following}

    def list_cost_allocation_tags(_request: dict[str, Any]) -> dict[str, Any]:
        # A tag has to be activated once per account, and no operation here does that.
        return {"CostAllocationTags": []}

    _register("servicequotas", "ServiceQuotasV20190624", {"ListServiceQuotas": list_service_quotas})
    _register("ce", "AWSInsightsIndexService", {"ListCostAllocationTags": list_cost_allocation_tags})


def _register(service: str, target_prefix: str, operations: dict[str, Operation]) -> None:
    async def handle_request(
        _method: str, _path: str, headers: dict[str, str], body: bytes, _query: dict[str, Any]
    ) -> Any:
        name = headers.get("x-amz-target", "").rpartition(".")[2]
        if name not in operations:
            message = f"The embedded AWS does not have {service}:{name}"
            return responses.error_response_json("UnknownOperationException", message, 400)
        return responses.json_response(operations[name](json.loads(body or b"{}")))

    app.SERVICE_REGISTRY[service] = {"module": service}
    app.SERVICE_HANDLERS[service] = handle_request
    app._loaded_modules[service] = SimpleNamespace(
        handle_request=handle_request, reset=lambda: None, get_state=lambda: None
    )
    router.SERVICE_PATTERNS[service] = {"target_prefixes": [f"{target_prefix}."], "credential_scope": service}
    iam_actions.SERVICE_TO_IAM_NAMESPACE[service] = service
