"""Reads each of botocore's service models once."""

from __future__ import annotations

import functools
from typing import Any

import botocore.session
from botocore.exceptions import UnknownServiceError
from botocore.model import ServiceModel
from ministack.core import iam_actions, responses


def apply() -> None:
    """Let ministack's responses and its IAM use the same models.

    For each service, ministack would look through all of botocore's models, and read the service's model for the
    headers of responses, for IAM's routes, for the tagging operations and for the unsigned operations. A model has up
    to four megabytes of JSON, and the first request of each service waits for it.
    """
    responses._service_model = service_model
    iam_actions._load_botocore_model = description


@functools.cache
def service_model(service: str) -> ServiceModel | None:
    """Return the model of a service by ministack's or botocore's name for it, or None if there is none."""
    try:
        return _session().get_service_model(responses._BOTOCORE_NAME.get(service, service))
    except UnknownServiceError:
        return None


def description(service: str) -> dict[str, Any]:
    """Return the content of a service's model, which is empty if there is none."""
    model = service_model(service)
    return model._service_description if model else {}  # type: ignore[attr-defined]


@functools.cache
def _session() -> botocore.session.Session:
    return botocore.session.Session()
