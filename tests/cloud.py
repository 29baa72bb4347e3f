"""A running embedded AWS, one a test process, with and without the stack."""

from __future__ import annotations

import io
import json
import signal
import textwrap
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.cloud.deploy import Outputs, deploy
from embedded_aws.cloud.instance import Cloud

# Whatever runs the tests in the background has SIGINT ignored, and every command would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A running embedded AWS with IAM and TLS on; its state is shared, so name things uniquely."""
    with Cloud.start(tmp_path_factory.mktemp("cloud")) as running:
        yield running


@pytest.fixture(scope="session")
def stack(cloud: Cloud, assembly: Path) -> Outputs:
    """The stack, deployed in ``cloud``: its outputs."""
    return deploy(cloud, assembly)


_LOGS = {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "*"}


@dataclass
class Workshop:
    """Makes small functions, roles and state machines of a test's own, through AWS's API."""

    cloud: Cloud

    def role(self, *statements: dict[str, Any], service: str = "lambda") -> str:
        """Create a role that ``service`` takes and that allows just these statements; return its ARN."""
        iam, name = self.cloud.client("iam"), _unique("role")
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": f"{service}.amazonaws.com"}}
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(trust))["Role"]["Arn"]
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=_policy(*statements))
        return arn

    def function(self, code: str, *statements: dict[str, Any], **options: Any) -> str:
        """Create a Python function from ``code``, which defines ``handler``; return its name."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("index.py", textwrap.dedent(code))
        name = _unique("function")
        options = {"Timeout": 10, "MemorySize": 256, "Runtime": "python3.12", **options}
        self.cloud.client("lambda").create_function(
            FunctionName=name,
            Role=self.role(_LOGS, *statements),
            Handler="index.handler",
            Code={"ZipFile": buffer.getvalue()},
            **options,
        )
        return name

    def invoke(self, function: str, event: Any = None) -> Any:
        """Invoke a function and return what it answers, an error's payload too."""
        answer = self.cloud.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        return json.loads(answer["Payload"].read())

    def machine(self, start: str, states: dict[str, Any], *statements: dict[str, Any], **rest: Any) -> str:
        """Create a state machine whose role allows ``statements``; return its ARN."""
        definition = json.dumps({"StartAt": start, "States": states, **rest})
        return str(
            self.cloud.client("stepfunctions").create_state_machine(
                name=_unique("machine"), definition=definition, roleArn=self.role(*statements, service="states")
            )["stateMachineArn"]
        )

    def start(self, machine: str, given: Any = None, **options: Any) -> str:
        """Start an execution and return its ARN."""
        request = {"stateMachineArn": machine, "input": json.dumps(given or {}), **options}
        return str(self.cloud.client("stepfunctions").start_execution(**request)["executionArn"])

    def end(self, execution: str, seconds: float = 30) -> dict[str, Any]:
        """Wait for an execution's end and return its description."""
        described = self.cloud.client("stepfunctions").describe_execution
        eventually(lambda: described(executionArn=execution)["status"] != "RUNNING", seconds)
        return dict(described(executionArn=execution))

    def run(self, machine: str, given: Any = None) -> dict[str, Any]:
        """Start an execution, wait for its end and return its description."""
        return self.end(self.start(machine, given))

    def entered(self, execution: str) -> list[str]:
        """Return the names of the states that an execution has entered, in order."""
        pages = self.cloud.client("stepfunctions").get_paginator("get_execution_history")
        events = [event for page in pages.paginate(executionArn=execution) for event in page["events"]]
        return [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]


@pytest.fixture(scope="session")
def workshop(cloud: Cloud) -> Workshop:
    """A maker of small functions and state machines in ``cloud``."""
    return Workshop(cloud)


def eventually(holds: Callable[[], Any], seconds: float = 10) -> Any:
    """Return what ``holds`` returns once it is true; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"{holds} doesn't hold after {seconds} s"
        time.sleep(0.02)
    return found


def _unique(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex[:12]}"


def _policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
