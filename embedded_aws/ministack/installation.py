"""Prepares ministack in this process: fixes, the embedded SageMaker, faults."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ministack import app

from embedded_aws.ministack import (
    account_services,
    admin_routes,
    customer_keys,
    decisions,
    environments,
    events,
    executions,
    fault_points,
    functions,
    log_groups,
    metrics,
    networks,
    object_events,
    objects,
    roles,
    sagemaker,
    sagemaker_tasks,
    service_models,
    sessions,
    signatures,
    states_language,
    task_permissions,
)
from embedded_aws.processes.client import ForkHost


def install(
    host: ForkHost,
    record: Path | None,
    admin_token: str,
    idle_seconds: float,
    *,
    pace: str = "",
    faults: Iterable[str] = (),
) -> Any:
    """Prepare ministack and return its ASGI application.

    Parameters
    ----------
    host
        Forks the processes of functions, training jobs and endpoints.
    record
        The file to which IAM's decisions are appended, if any.
    admin_token
        The token that requests for routes that are not part of AWS must present.
    idle_seconds
        How long a function's execution environment is kept while it is idle.
    pace
        How long training jobs and endpoints take; see ``embedded_aws.sagemaker.pace``.
    faults
        The faults in force from the start; see ``embedded_aws.faults.spec``.
    """
    if record is not None:
        decisions.record(record)
    service_models.apply()
    signatures.apply()
    sessions.apply()
    customer_keys.apply()
    functions.apply(host)
    environments.apply(idle_seconds)
    networks.apply()
    roles.apply()
    executions.apply()
    states_language.apply()
    task_permissions.apply()
    sagemaker_tasks.apply()
    events.apply()
    object_events.apply()
    objects.apply()
    metrics.apply()
    log_groups.apply()
    registered = sagemaker.register(host.start_worker, pace, faults)
    fault_points.connect(registered.faults)
    account_services.register(registered.quotas)
    admin_routes.require_token(admin_token)
    return app.app
