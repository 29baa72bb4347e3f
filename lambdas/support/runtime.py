"""The environment of every handler: settings, AWS clients, logs, metrics and error names."""

import warnings
from collections.abc import Callable, Mapping
from functools import cache, wraps
from typing import Any, TypeVar

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import Metrics, MetricUnit
from botocore.config import Config

from contract.names import METRICS_NAMESPACE
from contract.run_settings import RunSettings
from lambdas.support.errors import aws_errors

_Event = TypeVar("_Event")
_Result = TypeVar("_Result")

# Most handlers publish no metric, for which log_metrics would write a warning at each invocation.
warnings.filterwarnings("ignore", "No application metrics to publish")

logger = Logger()
_metrics = Metrics(namespace=METRICS_NAMESPACE)

# botocore retries transient errors immediately, with jitter; Step Functions retries later and for longer.
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=5, read_timeout=65)


@cache
def settings() -> RunSettings:
    """Return the settings that the stack gave this function."""
    return RunSettings.from_environment()


@cache
def client(service: str) -> Any:
    """Return the client of an AWS service; one per process."""
    return boto3.client(service, config=_CONFIG)  # type: ignore[call-overload]


def count(**values: float) -> None:
    """Add metrics, such as ``RowsLabeled=3218``, to the line that the invocation logs when it ends.

    CloudWatch reads them from the log. Their dimension ``service`` comes from ``POWERTOOLS_SERVICE_NAME``, which the
    stack sets to the deployment's id.
    """
    for name, value in values.items():
        _metrics.add_metric(name, MetricUnit.Seconds if name.endswith("Seconds") else MetricUnit.Count, value)


def entry_point(handler: Callable[[_Event, Any], _Result]) -> Callable[[_Event, Any], _Result]:
    """Wrap a handler: log lines name the run, metrics are written at the end, and AWS's errors keep their codes."""

    @wraps(handler)
    @logger.inject_lambda_context(clear_state=True)
    @_metrics.log_metrics
    def wrapped(event: _Event, context: Any) -> _Result:
        if isinstance(event, Mapping):
            logger.append_keys(run_id=event.get("run_id"))
        try:
            with aws_errors():
                result = handler(event, context)
        except Exception as error:
            logger.exception("failed", error=type(error).__name__)
            raise
        logger.info("done", result=result)
        return result

    return wrapped
