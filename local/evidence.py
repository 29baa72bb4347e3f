"""Records AWS's responses during a run, and compares them with those of the embedded AWS.

The evidence is a JSON document without the account's number. Its parts:

``calls``
    The requests of this command, counted by operation, HTTP status, error code and message.
``stack_events``
    The events of the stack's creation.
``execution``, ``events``
    The execution and its history, in which the state machine's tasks have their inputs, outputs and errors.
``training_jobs``
    The descriptions of the run's training jobs, with the times of all their statuses.
``alarms``
    The stack's alarms with their states.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from local.account import Account
from local.stack import Deployed

MASK: Final = "<account>"
_VARYING: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9A-F]{16}|[0-9]+")

Document = Mapping[str, Any]


@dataclass
class Evidence:
    """The responses of an account from now on.

    Attributes
    ----------
    account
        The account; clients that it made before are not recorded.
    parts
        The content of the document, by part.
    """

    account: Account
    parts: dict[str, Any] = field(default_factory=dict)
    _calls: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin to record the calls."""
        events = self.account.session.events
        events.register("after-call", self._record)
        events.register("after-call-error", self._record_error)

    def collect_stack(self, name: str) -> None:
        """Add the events of the stack, which must exist."""
        pages = self.account.client("cloudformation").get_paginator("describe_stack_events")
        self._collect(
            "stack_events", lambda: [e for page in pages.paginate(StackName=name) for e in page["StackEvents"]]
        )

    def collect_run(self, stack: Deployed, run_id: str) -> None:
        """Add the execution of a run, its history, its training jobs and the alarms."""
        states, sagemaker = self.account.client("stepfunctions"), self.account.client("sagemaker")
        arn, prefix = stack.execution_arn(run_id), f"{stack.deployment_id}-"
        self.parts["run_id"] = run_id
        self._collect("execution", partial(states.describe_execution, executionArn=arn))
        history = states.get_paginator("get_execution_history")
        self._collect(
            "events", lambda: [_event(e) for page in history.paginate(executionArn=arn) for e in page["events"]]
        )
        listed = partial(sagemaker.list_training_jobs, NameContains=f"{prefix}{run_id}-")
        self._collect(
            "training_jobs",
            lambda: [
                sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"])
                for job in listed()["TrainingJobSummaries"]
            ],
        )
        alarms = self.account.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=prefix)
        self._collect("alarms", lambda: [alarm for page in alarms for alarm in page["MetricAlarms"]])

    def document(self) -> Document:
        """Return the document, in which the account's number is masked."""
        content = {
            "recorded": datetime.now(UTC),
            "region": self.account.region,
            **self.parts,
            "calls": list(self._calls.values()),
        }
        text = json.dumps(content, default=_plain, ensure_ascii=False)
        masked: Document = json.loads(text.replace(self.account.identity["Account"], MASK))
        return masked

    def write(self, folder: Path) -> Path:
        """Write the document to ``<folder>/<date and time>.json``, and return the path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}.json"
        path.write_text(json.dumps(self.document(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path

    def _collect(self, part: str, look: Callable[[], Any]) -> None:
        """Add a part; an error of AWS is evidence, too."""
        try:
            self.parts[part] = look()
        except (ClientError, BotoCoreError) as error:
            self.parts[part] = []
            self.parts.setdefault("not_collected", {})[part] = str(error)

    def _record(self, http_response: Any, parsed: Mapping[str, Any], model: Any, **_: Any) -> None:
        error = parsed.get("Error", {}) if http_response.status_code >= 300 else {}
        service, status = model.service_model.service_name, http_response.status_code
        self._count(service, model.name, status, error.get("Code", ""), error.get("Message", ""))

    def _record_error(self, exception: Exception, event_name: str, **_others: Any) -> None:
        _, service, operation = event_name.split(".")
        self._count(service, operation, 0, type(exception).__name__, str(exception))

    def _count(self, service: str, operation: str, status: int, code: str, message: str) -> None:
        now = datetime.now(UTC)
        key = (service, operation, status, code, message)
        call = self._calls.setdefault(
            key,
            {
                "operation": f"{service}:{operation}",
                "status": status,
                "error": code,
                "message": message,
                "times": 0,
                "first": now,
            },
        )
        call["times"] += 1
        call["last"] = now


def differences(ours: Document, twins: Document) -> list[str]:
    """Return what only one of two pieces of evidence has, as the items of a to-do list in Markdown.

    Numbers and ids are not compared.

    Parameters
    ----------
    ours
        The evidence of an account.
    twins
        The evidence of the same run in an embedded AWS.
    """
    seen, rehearsed = set(_facts(ours)), set(_facts(twins))
    only = [*((fact, "AWS does, the embedded AWS does not") for fact in sorted(seen - rehearsed))]
    only += [(fact, "the embedded AWS does, AWS does not") for fact in sorted(rehearsed - seen)]
    return [f"- [ ] {fact} ({who})" for fact, who in only]


def payload_shapes(document: Document) -> set[str]:
    """Return the fields and types of what each function returned to the state machine."""
    return {
        f"{state} returns {path}"
        for state, event in _task_events(document)
        if event["type"] == "TaskSucceeded" and event["taskSucceededEventDetails"]["resourceType"] == "lambda"
        for path in shape(json.loads(event["taskSucceededEventDetails"]["output"])["Payload"])
    }


def shape(value: Any, path: str = "") -> Iterator[str]:
    """Yield the path of each field of a JSON value with its type, such as ``segments[].size: number``.

    The elements of a list share their paths. What is null has no type.
    """
    match value:
        case dict():
            for key, item in value.items():
                yield from shape(item, f"{path}.{key}" if path else key)
        case list():
            for item in value:
                yield from shape(item, f"{path}[]")
        case None:
            return
        case bool():
            yield f"{path}: boolean"
        case int() | float():
            yield f"{path}: number"
        case _:
            yield f"{path}: string"


def _facts(document: Document) -> Iterator[str]:
    """Yield sentences about the responses, without numbers and ids."""
    run_id = document.get("run_id", "")

    def plain(text: str) -> str:
        return _VARYING.sub("N", text.replace(run_id, "<run>") if run_id else text)

    for call in document["calls"]:
        if call["error"]:
            yield f"`{call['operation']}` responds {call['status']} {call['error']}: {plain(call['message'])}"
    for event in document.get("stack_events", []):
        yield f"CloudFormation reports {event['ResourceStatus']} of {event['ResourceType']}"
    for job in document.get("training_jobs", []):
        for change in job.get("SecondaryStatusTransitions", []):
            yield f"a training job is {change['Status']}: {plain(change.get('StatusMessage', ''))}"
    for state, event in _task_events(document):
        kind = event["type"]
        details = event.get(f"{kind[0].lower()}{kind[1:]}EventDetails", {})
        yield f"the history of {state} has {kind}{' ' + details['error'] if 'error' in details else ''}"
        if kind == "TaskSucceeded" and details["resourceType"].startswith("aws-sdk:"):
            for path in shape(json.loads(details["output"])):
                yield f"`{details['resourceType']}:{details['resource']}` returns `{path}`"


def _task_events(document: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the events of tasks' attempts, each with the name of the state that it belongs to."""
    states: dict[int, str] = {}
    for event in document.get("events", []):
        entered = event.get("stateEnteredEventDetails") or event.get("stateExitedEventDetails") or {}
        states[event["id"]] = entered.get("name") or states.get(event.get("previousEventId", 0), "")
        if not entered:
            yield states[event["id"]], event


def _event(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an event of a history without the inputs and outputs of states, which repeat those of their tasks."""
    found = dict(event)
    for key in ("stateEnteredEventDetails", "stateExitedEventDetails"):
        if key in found:
            found[key] = {"name": found[key]["name"]}
    return found


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)
