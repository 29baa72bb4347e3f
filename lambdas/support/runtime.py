"""What every handler starts with: its settings, AWS clients, a log that names the run, metrics, AWS's error names."""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric
from botocore.config import Config

from contract.names import METRICS_NAMESPACE
from contract.run_settings import RunSettings
from lambdas.support.errors import aws_errors

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]

logger = Logger()

# botocore retries what is worth it at once, with jitter; Step Functions retries the rest later, and longer.
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=5, read_timeout=65)


@cache
def settings() -> RunSettings:
    """Return the settings that the stack gave this function."""
    return RunSettings.from_environment()


@cache
def client(service: str) -> Any:
    """Return this environment's client of an AWS service."""
    return boto3.client(service, config=_CONFIG)  # type: ignore[call-overload]


def count(**values: float) -> None:
    """Publish metrics of the stack, such as ``RowsLabeled=3218``; CloudWatch reads them from the log."""
    for name, value in values.items():
        unit = MetricUnit.Seconds if name.endswith("Seconds") else MetricUnit.Count
        # Its one dimension is Powertools' own: "service", which the stack sets to its name.
        with single_metric(name, unit, value, namespace=METRICS_NAMESPACE):
            pass


def entry_point(handler: Handler) -> Handler:
    """Make a function Lambda's entry point: its log lines carry the run, its AWS errors AWS's names."""

    @wraps(handler)
    @logger.inject_lambda_context(clear_state=True)
    def wrapped(event: dict[str, Any], context: Any) -> dict[str, Any]:
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
