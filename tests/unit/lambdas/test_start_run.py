"""Events that start a run, and the errors of those that do not."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from contract.layout import run_id
from contract.run_settings import VARIABLE, RunSettings
from lambdas import start_run
from lambdas.support import runtime

CONTEXT = SimpleNamespace(
    function_name="start-run",
    memory_limit_in_mb=256,
    invoked_function_arn="arn:aws:lambda:x",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 60_000,
)


class AlreadyExistsError(Exception):
    """Stands for ExecutionAlreadyExists."""


@dataclass
class States:
    """Step Functions that remembers the executions it was asked to start, all of which are in progress."""

    started: dict[str, dict[str, Any]] = field(default_factory=dict)
    running: int = 0
    refuses: bool = False
    exceptions = SimpleNamespace(ExecutionAlreadyExists=AlreadyExistsError)

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> dict[str, str]:  # noqa: N803
        if self.refuses:
            raise RuntimeError("unavailable")
        if name in self.started:
            raise AlreadyExistsError
        self.started[name] = json.loads(input)
        self.running += 1
        return {"executionArn": f"{stateMachineArn}:{name}"}

    def list_executions(self, *, stateMachineArn: str, statusFilter: str, maxResults: int) -> dict[str, Any]:  # noqa: N803
        assert statusFilter == "RUNNING"
        return {"executions": [{}] * min(self.running, maxResults)}


@dataclass
class Queues:
    """SQS: a FIFO queue with one message group, of which each receive returns the first message, and dead letters."""

    waiting: list[str] = field(default_factory=list)
    received: list[str] = field(default_factory=list)
    on_receive: Callable[[], None] = lambda: None
    hidden_for: list[int] = field(default_factory=list)
    dead_letters: list[str] = field(default_factory=list)

    def receive_message(self, *, QueueUrl: str, WaitTimeSeconds: int) -> dict[str, Any]:  # noqa: N803
        assert QueueUrl.endswith(".fifo")
        self.on_receive()
        if not self.waiting or self.hidden_for:
            return {}
        self.received.append(self.waiting[0])
        return {"Messages": [{"Body": self.waiting[0], "ReceiptHandle": self.waiting[0]}]}

    def change_message_visibility(self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> None:  # noqa: N803
        assert ReceiptHandle == self.waiting[0]
        self.hidden_for.append(VisibilityTimeout)

    def delete_message(self, *, QueueUrl: str, ReceiptHandle: str) -> None:  # noqa: N803
        assert QueueUrl.endswith(".fifo")
        self.waiting.remove(ReceiptHandle)

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


TAKE = {"wait_seconds": 0}


def queued(queues: Queues, *keys: str) -> list[str]:
    """Put the events of new objects into the queue; return the names of their runs."""
    queues.waiting += [json.dumps(created(key)) for key in keys]
    return [run_id("incoming-bucket", key, "v1") for key in keys]


def test_events_are_taken_from_the_queue_in_order_while_fewer_runs_are_in_progress_than_may_be(
    states: States, queues: Queues
) -> None:
    names = queued(queues, "incoming/1.csv", "incoming/2.csv", "incoming/3.csv")
    assert start_run.handler(TAKE, CONTEXT) == {"taken": 2}
    assert list(states.started) == names[:2]
    assert [json.loads(each) for each in queues.waiting] == [created("incoming/3.csv")]


def test_no_event_is_received_while_as_many_runs_are_in_progress_as_may_be(states: States, queues: Queues) -> None:
    states.running = 2
    queued(queues, "incoming/census.csv")
    assert start_run.handler(TAKE, CONTEXT) == {"taken": 0}
    assert (states.started, queues.received) == ({}, [])


def test_an_event_stays_in_the_queue_if_another_invocation_takes_the_last_room(states: States, queues: Queues) -> None:
    queued(queues, "incoming/census.csv")

    def another_starts_a_run() -> None:
        states.running = 2

    queues.on_receive = another_starts_a_run
    assert start_run.handler(TAKE, CONTEXT) == {"taken": 0}
    assert (states.started, len(queues.waiting), queues.hidden_for) == ({}, 1, [2])


@pytest.mark.parametrize(("wait_seconds", "taken"), [(5, 1), (0, 0)])
def test_an_event_that_reaches_the_queue_a_little_later_is_waited_for(
    states: States, queues: Queues, wait_seconds: float, taken: int
) -> None:
    receives: list[int] = []

    def arrive_late() -> None:
        receives.append(1)
        if len(receives) == 3:
            queued(queues, "incoming/census.csv")
            states.running = 1

    queues.on_receive = arrive_late
    assert start_run.handler({"wait_seconds": wait_seconds}, CONTEXT) == {"taken": taken}
    assert len(states.started) == taken


def test_nothing_is_received_when_little_time_is_left(states: States, queues: Queues) -> None:
    queued(queues, "incoming/census.csv")
    late = SimpleNamespace(**{**vars(CONTEXT), "get_remaining_time_in_millis": lambda: 20_000})
    assert start_run.handler(TAKE, late) == {"taken": 0}
    assert queues.received == []


def test_a_run_that_a_person_starts_does_not_wait(states: States) -> None:
    states.running = 2
    assert start_run.handler(created("incoming/census.csv"), CONTEXT)["started"] is True  # type: ignore[typeddict-item]


def test_an_event_from_the_queue_that_can_start_no_run_blocks_none_behind_it(states: States, queues: Queues) -> None:
    (_, name) = queued(queues, "incoming/a\nb.csv", "incoming/census.csv")
    assert start_run.handler(TAKE, CONTEXT) == {"taken": 2}
    assert [json.loads(each) for each in queues.dead_letters] == [created("incoming/a\nb.csv")]
    assert (list(states.started), queues.waiting) == ([name], [])


def test_an_event_whose_run_cannot_be_started_stays_in_the_queue(states: States, queues: Queues) -> None:
    states.refuses = True
    queued(queues, "incoming/census.csv")
    with pytest.raises(RuntimeError, match="unavailable"):
        start_run.handler(TAKE, CONTEXT)
    assert (len(queues.waiting), queues.dead_letters) == (1, [])
