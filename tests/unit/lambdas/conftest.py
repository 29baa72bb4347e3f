"""The account that the handlers see, and helpers that run them as Lambda would."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import botocore.client
import pytest

from contract.run_settings import VARIABLE, RunSettings
from lambdas.support import runtime, storage
from tests.unit.lambdas.fake_aws import FakeAws


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, settings: RunSettings) -> Iterator[FakeAws]:
    """An empty account, with the environment that the stack gives its functions."""
    fake = FakeAws()
    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", fake.call_of())
    for name, value in {
        VARIABLE: json.dumps(asdict(replace(settings, stability_refits=2, refine_restarts=4))),
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "POWERTOOLS_SERVICE_NAME": "census-segmentation",
    }.items():
        monkeypatch.setenv(name, value)
    _forget()
    yield fake
    _forget()


def _forget() -> None:
    """Forget what an execution environment keeps between invocations."""
    for kept in (runtime.client, runtime.settings, storage._read_once):
        kept.cache_clear()


@dataclass
class LambdaContext:
    """What Powertools' logger reads of Lambda's context object."""

    function_name: str = "function"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:function"
    aws_request_id: str = "1"


Invoke = Callable[..., dict[str, Any]]


@pytest.fixture
def invoke(aws: FakeAws) -> Invoke:
    """Run a handler with an event that has been through JSON."""

    def run(handler: Callable[[dict[str, Any], Any], dict[str, Any]], **event: Any) -> dict[str, Any]:
        result = handler(json.loads(json.dumps(event)), LambdaContext())
        return dict(json.loads(json.dumps(result)))

    return run


@pytest.fixture
def metrics(capsys: pytest.CaptureFixture[str]) -> Callable[[], dict[str, float]]:
    """Return the metrics that were published since the last call, from the lines that CloudWatch reads."""

    def read() -> dict[str, float]:
        found: dict[str, float] = {}
        for line in capsys.readouterr().out.splitlines():
            if line.startswith("{") and "_aws" in (document := json.loads(line)):
                for described in document["_aws"]["CloudWatchMetrics"]:
                    for metric in described["Metrics"]:
                        (value,) = document[metric["Name"]]
                        found[metric["Name"]] = value
        return found

    return read
