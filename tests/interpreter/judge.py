"""Run the scenarios in LocalStack's Step Functions: ``python tests/interpreter/judge.py TABLE HISTORIES``.

It runs in the environment of requirements-stepfunctions.txt, and imports nothing of this project. LocalStack's server
is a process of its own (``--serve``) with three changes, none of which concerns the interpretation of states:

- A mocked response is selected by the number of invocations of its state in the execution. LocalStack selects it by the
  number of retries, and therefore cannot play a loop.
- JSONata is evaluated by its reference implementation (jsonata.mjs). LocalStack would download a Java library.
- The definition is parsed once, because LocalStack's parser is not safe in several threads, and slow.
"""

import copy
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_MACHINE = "census"
_START_SECONDS = 120
_RUN_SECONDS = 100
_AT_A_TIME = 8


class Jsonata:
    """The reference implementation of JSONata, in a process of Node.js."""

    def __init__(self) -> None:
        command = ["node", str(Path(__file__).with_name("jsonata.mjs"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lock = threading.Lock()

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, or raise LocalStack's JSONataException."""
        from localstack.services.stepfunctions.asl.jsonata.jsonata import JSONataException

        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(expression) + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise JSONataException("UNKNOWN", answer["error"])
        return answer["value"]


def serve() -> None:
    """Run LocalStack in this process, with the changes that the module's docstring lists."""
    from localstack.runtime import main
    from localstack.services.stepfunctions.asl.eval.environment import Environment
    from localstack.services.stepfunctions.asl.jsonata import jsonata
    from localstack.services.stepfunctions.backend.execution_worker import ExecutionWorker

    lock = threading.Lock()

    def next_response(self: Any) -> Any:
        # LocalStack reads the test case again for each execution, so the list belongs to this one.
        responses = self.mock_test_case.state_mocked_responses[self.next_state_name].mocked_responses
        with lock:
            return responses.pop(0) if len(responses) > 1 else responses[0]

    parse = ExecutionWorker._get_evaluation_entrypoint
    parsed: list[Any] = []

    def parse_once(self: Any) -> Any:
        with lock:
            if not parsed:
                parsed.append(parse(self))
            return copy.deepcopy(parsed[0])

    Environment.get_current_mocked_response = next_response
    ExecutionWorker._get_evaluation_entrypoint = parse_once
    jsonata._eval_jsonata = Jsonata().evaluate
    main.main()


def _mock_config(scenarios: dict[str, Any]) -> dict[str, Any]:
    """Return the scenarios as the configuration of mocked responses, in which a name stands for a list of responses."""
    cases: dict[str, Any] = {}
    responses: dict[str, Any] = {}
    for scenario, given in scenarios.items():
        cases[scenario] = {state: f"{scenario} {state}" for state in given}
        for state, each in given.items():
            responses[f"{scenario} {state}"] = {str(number): one for number, one in enumerate(each)}
    return {"StateMachines": {_MACHINE: {"TestCases": cases}}, "MockedResponses": responses}


def _start(folder: Path, port: int, log: Path, scenarios: dict[str, Any]) -> subprocess.Popen[bytes]:
    mocked = folder / "mocked.json"
    mocked.write_text(json.dumps(_mock_config(scenarios)))
    settings = {
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "SERVICES": "stepfunctions,s3,sts,iam,events",
        "EAGER_SERVICE_LOADING": "0",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DISABLE_EVENTS": "1",
        "DNS_ADDRESS": "0",
        "LS_LOG": "warning",
        "SFN_MOCK_CONFIG": str(mocked),
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            env={**os.environ, **settings},
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _await_server(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with socket.socket() as probe:
        while probe.connect_ex(("127.0.0.1", port)) != 0:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"LocalStack has not started:\n{log.read_text()[-4000:]}")
            time.sleep(0.2)


def _run(states: Any, machine: str, scenario: str, given: Any) -> dict[str, Any]:
    arn = states.start_execution(stateMachineArn=f"{machine}#{scenario}", name=scenario, input=json.dumps(given))[
        "executionArn"
    ]
    deadline = time.monotonic() + _RUN_SECONDS
    while (found := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    pages = states.get_paginator("get_execution_history").paginate(executionArn=arn, maxResults=1000)
    events = [event for page in pages for event in page["events"]]
    facts = {key: found.get(key) for key in ("status", "error", "cause", "output")}
    return {**facts, "events": events, "inputs": _inputs(events)}


def _inputs(events: list[Any]) -> dict[str, list[Any]]:
    """Return the inputs of each task's invocations, by its state."""
    by_id = {event["id"]: event for event in events}
    found: dict[str, list[Any]] = {}
    for event in events:
        if event["type"] != "TaskScheduled":
            continue
        entered = event
        while "stateEnteredEventDetails" not in entered:
            entered = by_id[entered["previousEventId"]]
        given = json.loads(event["taskScheduledEventDetails"]["parameters"])
        found.setdefault(entered["stateEnteredEventDetails"]["name"], []).append(given)
    return found


def main(table: Path, histories: Path) -> None:
    """Read the table of scenarios, run each as one execution, and write their histories."""
    import boto3
    from botocore.config import Config

    given = json.loads(table.read_text())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = histories.with_suffix(".log")
        server = _start(folder, port, log, given["scenarios"])
        try:
            _await_server(port, server, log)
            session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
            options = Config(max_pool_connections=_AT_A_TIME, read_timeout=_RUN_SECONDS)
            address = f"http://127.0.0.1:{port}"
            s3 = session.client("s3", endpoint_url=address, config=options)
            s3.create_bucket(Bucket=given["bucket"])
            s3.put_object(Bucket=given["bucket"], Key=given["key"], Body=json.dumps(given["shards"]).encode())
            states = session.client("stepfunctions", endpoint_url=address, config=options)
            machine = states.create_state_machine(
                name=_MACHINE, definition=json.dumps(given["definition"]), roleArn=given["role"]
            )["stateMachineArn"]
            with ThreadPoolExecutor(_AT_A_TIME) as pool:
                found = pool.map(lambda each: _run(states, machine, each, given["input"]), given["scenarios"])
                histories.write_text(json.dumps(dict(zip(given["scenarios"], found, strict=True)), default=str))
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        main(*map(Path, sys.argv[1:]))
