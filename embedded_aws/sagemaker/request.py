"""A control plane request after parsing: who asks for what, where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from embedded_aws.sagemaker import identity
from embedded_aws.sagemaker.errors import validation
from embedded_aws.sagemaker.state import Scope

_MAX_TAGS = 50


@dataclass(frozen=True)
class Request:
    """One validated request. `caller` is the access key id that signed it."""

    operation: str
    params: dict[str, Any]
    scope: Scope
    caller: str

    def new_tags(self, arn: str) -> dict[str, str]:
        """Return the tags of a resource about to be created, if the caller may tag it.

        Raises
        ------
        AwsError
            AccessDeniedException without `sagemaker:AddTags`; ValidationException for bad tags.
        """
        tags = read_tags(self.params.get("Tags", []))
        if tags:
            identity.require(self.caller, "sagemaker:AddTags", arn, self.scope)
        return tags


def read_tags(entries: list[dict[str, str]], present: dict[str, str] | None = None) -> dict[str, str]:
    """Merge tag entries into those present.

    Raises
    ------
    AwsError
        ValidationException for a repeated key, a reserved one, or more than 50 tags.
    """
    keys = [entry["Key"] for entry in entries]
    if len(set(keys)) != len(keys):
        raise validation("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    for key in keys:
        if key.lower().startswith("aws:"):
            raise validation(f"Tag key {key} is reserved: keys must not start with aws:")
    tags = (present or {}) | {entry["Key"]: entry["Value"] for entry in entries}
    if len(tags) > _MAX_TAGS:
        raise validation(f"A resource can have at most {_MAX_TAGS} tags; this one would have {len(tags)}")
    return tags
