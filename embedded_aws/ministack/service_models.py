"""Reads each of botocore's service models once."""

from __future__ import annotations

import functools
from typing import Any

from ministack.core import iam_actions, responses


def apply() -> None:
    """Let ministack's IAM use the models that its responses use.

    It would read a service's model anew for its routes, for its tagging operations and for its unsigned operations. A
    model has up to four megabytes of JSON, and the first request of each service waits for it.
    """
    iam_actions._load_botocore_model = functools.cache(_model)


def _model(service: str) -> dict[str, Any]:
    found = responses._service_model(service)
    return found._service_description if found else {}
