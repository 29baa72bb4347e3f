"""The control plane of tags, which any resource of the embedded SageMaker can have."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from embedded_aws.sagemaker.errors import validation
from embedded_aws.sagemaker.request import Request, read_tags
from embedded_aws.sagemaker.state import Resource, State

_DEFAULT_PAGE = 50


class Tags:
    """AddTags, ListTags and DeleteTags."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.operations: dict[str, Callable[[Request], dict[str, Any] | None]] = {
            "AddTags": self.add,
            "ListTags": self.list,
            "DeleteTags": self.delete,
        }

    def add(self, request: Request) -> dict[str, Any]:
        """AddTags."""
        resource = self._find(request)
        resource.tags = read_tags(request.params["Tags"], resource.tags)
        return {"Tags": as_list(resource.tags)}

    def list(self, request: Request) -> dict[str, Any]:
        """ListTags."""
        tags = as_list(self._find(request).tags)
        start = _read_token(request.params.get("NextToken"))
        end = start + request.params.get("MaxResults", _DEFAULT_PAGE)
        following = {"NextToken": base64.b64encode(str(end).encode()).decode()} if end < len(tags) else {}
        return {"Tags": tags[start:end]} | following

    def delete(self, request: Request) -> dict[str, Any]:
        """DeleteTags."""
        resource = self._find(request)
        for key in request.params["TagKeys"]:
            resource.tags.pop(key, None)
        return {}

    def _find(self, request: Request) -> Resource:
        arn = request.params["ResourceArn"].lower()
        for resource in self._state.region(request.scope).resources():
            if resource.arn.lower() == arn:
                return resource
        raise validation(f"Could not find resource with ARN {request.params['ResourceArn']}.")


def as_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Return tags in the format of the API."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _read_token(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(base64.b64decode(token, validate=True))
    except (ValueError, binascii.Error):
        raise validation("Invalid pagination token") from None
