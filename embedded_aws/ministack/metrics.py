"""CloudWatch: permissions that depend on a metric's namespace."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.core import iam_actions


def apply() -> None:
    """Correct CloudWatch in this process."""
    bind_permissions_to_namespaces()


def bind_permissions_to_namespaces() -> None:
    """Set the condition key ``cloudwatch:namespace`` of PutMetricData, which policies on AWS can use."""
    original: Callable[..., dict[str, Any]] = iam_actions.request_tag_context

    def context(service: str, action: str, body: bytes, params: dict[str, Any]) -> dict[str, Any]:
        found = original(service, action, body, params)
        if action == "cloudwatch:PutMetricData" and (namespace := _namespace(body, params)):
            found = {**found, "cloudwatch:namespace": namespace}
        return found

    iam_actions.request_tag_context = context


def _namespace(body: bytes, params: dict[str, Any]) -> str | None:
    """Read the namespace from a request in CloudWatch's query or JSON protocol."""
    if given := params.get("Namespace"):
        return str(given[0] if isinstance(given, list) else given)
    try:
        return str(json.loads(body)["Namespace"])
    except (ValueError, KeyError, TypeError):
        return None
