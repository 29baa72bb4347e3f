"""Events that start a run, and the errors of those that do not."""

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from contract.layout import run_id
from contract.run_settings import VARIABLE, RunSettings
from lambdas import start_run
from lambdas.support import runtime

CONTEXT = SimpleNamespace(
    function_name="start-run", memory_limit_in_mb=256, invoked_function_arn="arn:aws:lambda:x", aws_request_id="1"
)


class AlreadyExistsError(Exception):
    """Stands for ExecutionAlreadyExists."""


@dataclass
class States:
    """Step Functions that remembers the executions it was asked to start."""

    started: dict[str, dict[str, Any]] = field(default_factory=dict)
    running: int = 0
    exceptions = SimpleNamespace(ExecutionAlreadyExists=AlreadyExistsError)

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> dict[str, str]:  # noqa: N803
        if name in self.started:
            raise AlreadyExistsError
        self.started[name] = json.loads(input)
        return {"executionArn": f"{stateMachineArn}:{name}"}

    def list_executions(self, *, stateMachineArn: str, statusFilter: str, maxResults: int) -> dict[str, Any]:  # noqa: N803
        assert statusFilter == "RUNNING"
        return {"executions": [{}] * min(self.running, maxResults)}


@dataclass
class Queues:
    """SQS that remembers what became of messages."""

    hidden_for: dict[str, int] = field(default_factory=dict)
    dead_letters: list[str] = field(default_factory=list)

    def change_message_visibility(self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> None:  # noqa: N803
        assert QueueUrl.endswith(".fifo")
        self.hidden_for[ReceiptHandle] = VisibilityTimeout

    def send_message(self, *, QueueUrl: str, MessageBody: str) -> None:  # noqa: N803
        assert QueueUrl.endswith("-dead-letters")
        self.dead_letters.append(MessageBody)


@pytest.fixture
def queues() -> Queues:
    return Queues()


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch, settings: RunSettings, queues: Queues) -> States:
    fake = States()
    monkeypatch.setenv(VARIABLE, json.dumps(settings.as_dict()))
    monkeypatch.setattr(runtime, "settings", lambda: settings)
    monkeypatch.setattr(start_run, "settings", lambda: settings)
    monkeypatch.setattr(start_run, "client", {"stepfunctions": fake, "sqs": queues}.__getitem__)
    return fake


def created(key: Any, **changed: Any) -> dict[str, Any]:
    found = {"key": key, "etag": "e1", "size": 10, "version-id": "v1", **changed}
    return {"detail": {"bucket": {"name": "incoming-bucket"}, "object": found}}


@pytest.mark.parametrize("key", ["incoming/census.csv", "incoming/a b+ü%2B.csv", "incoming/Zensus 人口.csv.gz"])
def test_a_new_object_starts_its_run_once(states: States, key: str) -> None:
    name = run_id("incoming-bucket", key, "v1")
    first, second = (start_run.handler(created(key), CONTEXT) for _ in range(2))
    assert first["run_id"] == second["run_id"] == name  # type: ignore[typeddict-item]
    assert (first["started"], second["started"]) == (True, False)  # type: ignore[typeddict-item]
    source = {"bucket": "incoming-bucket", "key": key, "version_id": "v1", "etag": "e1", "size": 10}
    assert states.started == {name: {"run_id": name, "input": source}}


def test_in_a_bucket_without_versions_the_etag_names_the_run(states: States) -> None:
    event = created("incoming/census.csv")
    del event["detail"]["object"]["version-id"]
    start_run.handler(event, CONTEXT)
    assert list(states.started) == [run_id("incoming-bucket", "incoming/census.csv", "e1")]


def test_a_folder_marker_starts_no_run(states: States) -> None:
    assert start_run.handler(created("incoming/x/"), CONTEXT) == {"skipped": "incoming/x/ is a folder marker"}
    assert states.started == {}


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ([], r'the event is \[\]; expected an S3 "Object Created" event'),
        (None, r"the event is None; expected an S3"),
        ({}, r"key is None; expected one that starts with 'incoming/'"),
        ({"key": None}, r"key is None; expected one that starts with 'incoming/'"),
        ({"key": "census.csv"}, r"key is 'census.csv'; expected one that starts with 'incoming/'"),
        ({"detail": {}}, r'the event\'s detail is {}; expected an S3 "Object Created" event'),
        ({"detail": None}, r"the event's detail is None; expected"),
        (created("incoming/x.csv", etag=None), r"the event's detail is .*; expected"),
        (created("incoming/x.csv", size="large"), r"the event's detail is .*; expected"),
        ({"key": "incoming/" + "x" * 5_000_000}, r"has 5,000,009 bytes; S3 allows at most 1,024"),
        ({"key": "incoming/a\nb.csv"}, r"key is 'incoming/a\\nb.csv', with a control character; rename the object"),
        (created("incoming/a\x9bb.csv"), r"with a control character"),
        ({"key": "incoming/x.csv", "bucket": 5}, r"bucket is 5; expected"),
        ({"key": "incoming/x.csv", "version_id": ["v"]}, r"VersionId is \['v'\]; expected"),
        ({**created("incoming/x.csv"), "rerun": "R2!"}, r"rerun is 'R2!'; expected 1 to 6 of a-z and 0-9"),
    ],
)
def test_an_event_that_cannot_start_a_run_is_refused_in_a_short_line(states: States, event: Any, says: str) -> None:
    with pytest.raises(Exception, match=says) as refused:
        start_run.handler(event, CONTEXT)
    assert type(refused.value).__name__ == "InvalidEvent"
    assert len(str(refused.value)) < 500
    assert states.started == {}


def from_queue(body: Any) -> dict[str, Any]:
    return {"Records": [{"messageId": "m1", "receiptHandle": "r1", "body": json.dumps(body)}]}


def test_an_event_from_the_queue_starts_its_run_if_fewer_are_in_progress_than_may_be(
    states: States, queues: Queues
) -> None:
    states.running = 1
    assert start_run.handler(from_queue(created("incoming/census.csv")), CONTEXT) == {"batchItemFailures": []}
    assert list(states.started) == [run_id("incoming-bucket", "incoming/census.csv", "v1")]
    assert queues.hidden_for == {}


def test_an_event_stays_in_the_queue_for_some_seconds_while_as_many_are_in_progress_as_may_be(
    states: States, queues: Queues
) -> None:
    states.running = 2
    kept = start_run.handler(from_queue(created("incoming/census.csv")), CONTEXT)
    assert kept == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert (states.started, queues.hidden_for) == ({}, {"r1": 5})


def test_a_run_that_a_person_starts_does_not_wait(states: States) -> None:
    states.running = 2
    assert start_run.handler(created("incoming/census.csv"), CONTEXT)["started"] is True  # type: ignore[typeddict-item]


def test_an_event_from_the_queue_that_can_start_no_run_blocks_none_behind_it(states: States, queues: Queues) -> None:
    event = created("incoming/a\nb.csv")
    assert start_run.handler(from_queue(event), CONTEXT) == {"batchItemFailures": []}
    assert [json.loads(each) for each in queues.dead_letters] == [event]
    assert states.started == {}
