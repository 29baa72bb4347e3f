"""Starts and inspects runs of the deployed stack, for tests."""

from __future__ import annotations

import csv
import io
import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from contract.layout import LATEST, RunLayout, run_id
from embedded_aws.cloud.deploy import Outputs
from embedded_aws.cloud.instance import Cloud

FAULTS = "/_embedded/faults"
OPERATIONS = "/_embedded/operations"
GROUPS = 8
SERIES = "series"

_FEATURES = 6
_BITS = 3


def small_census(rows: int = 64, seed: int = 1, groups: int = GROUPS) -> bytes:
    """Return a census with `groups` clusters that lie far apart; each county's name contains its group."""
    noise = random.Random(seed)
    lines = ["CensusId,State,County," + ",".join(f"Measure{number}" for number in range(_FEATURES))]
    for row in range(rows):
        group = row % groups
        figures = [((group >> number % _BITS) & 1) * 100 * (number + 1) + noise.random() for number in range(_FEATURES)]
        lines.append(f"{1001 + row},State {row % 5},Group {group} Row {row}," + ",".join(f"{x:.3f}" for x in figures))
    return ("\n".join(lines) + "\n").encode()


def groups_and_labels(labeled: bytes) -> set[tuple[int, str]]:
    """Return the pairs of planted group and label that occur in labeled_counties.csv."""
    rows = csv.DictReader(io.StringIO(labeled.decode()))
    return {(int(row["County"].split()[1]), row["label"]) for row in rows}


@dataclass(frozen=True)
class Run:
    """The run of one CSV."""

    run_id: str
    key: str
    version_id: str
    execution_arn: str

    @property
    def files(self) -> RunLayout:
        """The keys of the run's files."""
        return RunLayout(self.run_id)


@dataclass
class Runs:
    """The stack, deployed in a running embedded AWS."""

    cloud: Cloud
    outputs: Outputs
    _clients: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _found: dict[str, str] = field(default_factory=dict)
    _asked: float = -1.0

    @property
    def stack(self) -> str:
        """The stack's name."""
        return self.outputs.stack_name

    @property
    def incoming(self) -> str:
        """The incoming bucket."""
        return self.outputs["IncomingBucket"]

    @property
    def results(self) -> str:
        """The results bucket."""
        return self.outputs["ResultsBucket"]

    @property
    def machine(self) -> str:
        """The state machine's ARN."""
        return self.outputs["StateMachineArn"]

    def client(self, service: str) -> Any:
        """Return the administrator's client of a service, for any thread."""
        if service not in self._clients:
            self._clients[service] = self.cloud.client(
                service, config=Config(max_pool_connections=64, read_timeout=120, retries={"total_max_attempts": 1})
            )
        return self._clients[service]

    # Executions

    def upload(self, name: str, body: bytes | None = None, **metadata: str) -> Run:
        """Upload a CSV called `name` to incoming/, which starts its run, with the object's metadata."""
        key = f"incoming/{name}"
        body = small_census() if body is None else body
        version = self.client("s3").put_object(Bucket=self.incoming, Key=key, Body=body, Metadata=metadata)["VersionId"]
        return self.run_of(key, version)

    def train_for_series(self) -> None:
        """Run a census whose model the runs of `upload_to_series` then apply."""
        ended = self.end(self.upload(f"{SERIES}/first.csv"))
        assert ended["status"] == "SUCCEEDED", ended

    def upload_to_series(self, name: str, body: bytes | None = None) -> Run:
        """Upload a CSV to the series, which starts a run that applies the model of the series."""
        return self.upload(f"{SERIES}/{name}", body, mode="apply")

    def run_of(self, key: str, version: str, rerun: str | None = None) -> Run:
        """Return the run of an object version."""
        name = run_id(self.incoming, key, version, rerun)
        return Run(name, key, version, f"{self.machine.replace(':stateMachine:', ':execution:')}:{name}")

    def describe(self, run: Run) -> dict[str, Any] | None:
        """Return a run's execution, or None if it has not started."""
        try:
            return dict(self.client("stepfunctions").describe_execution(executionArn=run.execution_arn))
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
                return None
            raise

    def end(self, run: Run, seconds: float = 120) -> dict[str, Any]:
        """Wait until a run has ended, and return its execution."""

        began = time.monotonic()

        def ended() -> bool:
            found, asked = self._statuses()
            return asked > began and found.get(run.execution_arn, "RUNNING") != "RUNNING"

        eventually(ended, seconds, f"{run.run_id} has not ended", every=0.1)
        return dict(self.describe(run) or {})

    def _statuses(self) -> tuple[dict[str, str], float]:
        """Return the status of every execution, and when it was requested.

        Many threads wait for runs at the same time. They share one request every half second, because on two cores
        their own requests would slow down the runs.
        """
        with self._lock:
            if time.monotonic() > self._asked + 0.5:
                asked = time.monotonic()
                self._found = {each["executionArn"]: each["status"] for each in self.executions()}
                self._asked = asked
            return self._found, self._asked

    def executions(self) -> list[dict[str, Any]]:
        """Return all executions, the newest first."""
        pages = self.client("stepfunctions").get_paginator("list_executions").paginate(stateMachineArn=self.machine)
        return [each for page in pages for each in page["executions"]]

    def events(self, run: Run) -> list[dict[str, Any]]:
        """Return a run's history."""
        pages = self.client("stepfunctions").get_paginator("get_execution_history")
        return [event for page in pages.paginate(executionArn=run.execution_arn) for event in page["events"]]

    def entered(self, run: Run) -> list[str]:
        """Return the states a run has entered, in order."""
        return [
            event["stateEnteredEventDetails"]["name"]
            for event in self.events(run)
            if "stateEnteredEventDetails" in event
        ]

    def entered_at(self, run: Run, state: str) -> datetime:
        """Return when a run last entered a state."""
        times: list[datetime] = [
            event["timestamp"]
            for event in self.events(run)
            if event.get("stateEnteredEventDetails", {}).get("name") == state
        ]
        return times[-1]

    # Result files

    def read(self, key: str) -> bytes:
        """Return a file of the results bucket."""
        return bytes(self.client("s3").get_object(Bucket=self.results, Key=key)["Body"].read())

    def read_json(self, key: str) -> Any:
        """Return a JSON file of the results bucket."""
        return json.loads(self.read(key))

    def latest_run(self) -> str | None:
        """Return the run that latest.json points to."""
        try:
            return str(self.read_json(LATEST)["run_id"])
        except self.client("s3").exceptions.NoSuchKey:
            return None

    def written(self, run: Run) -> list[str]:
        """Return a run's files, relative to its prefix."""
        pages = self.client("s3").get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.results, Prefix=run.files.root)
        return [item["Key"].removeprefix(run.files.root) for page in found for item in page.get("Contents", [])]

    def has_correct_labels(self, run: Run, rows: int = 64, groups: int = GROUPS) -> bool:
        """Return whether the result is complete and has each planted group in a segment of its own."""
        labeled = self.read(run.files.labeled_counties)
        pairs = groups_and_labels(labeled)
        each_its_own = len(pairs) == len({label for _, label in pairs}) == groups
        document = self.read_json(run.files.segments)
        return (
            each_its_own
            and labeled.count(b"\n") == rows + 1
            and document["rows"]["labeled"] == rows
            and sum(segment["size"] for segment in document["segments"]) == rows
        )

    def input_is_there(self, run: Run) -> bool:
        """Return whether this version of the CSV still exists."""
        try:
            self.client("s3").head_object(Bucket=self.incoming, Key=run.key, VersionId=run.version_id)
        except ClientError:
            return False
        return True

    # SageMaker resources

    def leftovers(self, text: str = "") -> list[str]:
        """Return the endpoints, configs, models and unfinished training jobs whose names contain `text`."""
        sagemaker = self.client("sagemaker")
        found = [
            f"{kind} {item[f'{kind}Name']}"
            for kind, operation, listed in (
                ("Endpoint", "list_endpoints", "Endpoints"),
                ("EndpointConfig", "list_endpoint_configs", "EndpointConfigs"),
                ("Model", "list_models", "Models"),
            )
            for page in sagemaker.get_paginator(operation).paginate()
            for item in page[listed]
        ]
        for status in ("InProgress", "Stopping"):
            for page in sagemaker.get_paginator("list_training_jobs").paginate(StatusEquals=status):
                found += [f"TrainingJob {job['TrainingJobName']}" for job in page["TrainingJobSummaries"]]
        return [each for each in found if text in each]

    def training_jobs(self, run: Run) -> dict[str, str]:
        """Return the status of each of a run's training jobs."""
        pages = self.client("sagemaker").get_paginator("list_training_jobs").paginate(NameContains=run.run_id)
        return {
            job["TrainingJobName"]: job["TrainingJobStatus"] for page in pages for job in page["TrainingJobSummaries"]
        }

    def sweep(self) -> dict[str, Any]:
        """Run the janitor once, as its schedule does every 15 minutes."""
        return dict(self.invoke("sweep", {}))

    def is_swept(self, text: str, seconds: float = 60) -> bool:
        """Run the janitor until no resource whose name contains `text` is left; return whether it succeeded in time."""
        deadline = time.monotonic() + seconds
        while self.leftovers(text):
            if time.monotonic() > deadline:
                return False
            self.sweep()
            time.sleep(0.1)
        return True

    # Functions and faults

    def invoke(self, function: str, event: Any, *, kind: str = "RequestResponse") -> Any:
        """Invoke a function of the stack and return its response; None for an asynchronous invocation."""
        answer = self.client("lambda").invoke(
            FunctionName=f"{self.stack}-{function}", Payload=json.dumps(event), InvocationType=kind
        )
        payload = answer["Payload"].read()
        found = json.loads(payload) if payload else None
        assert "FunctionError" not in answer, found
        return found

    def add_faults(self, *specs: str) -> None:
        """Add faults to those in force."""
        self.cloud.request("POST", FAULTS, list(specs))

    def remove_faults(self, *specs: str) -> None:
        """Lift faults, given as they were put in force."""
        self.cloud.request("DELETE", FAULTS, list(specs))

    def clear_faults(self) -> None:
        """Remove all faults."""
        self.cloud.request("DELETE", FAULTS)

    def faults_on(self, text: str) -> list[dict[str, Any]]:
        """Return the faults in force whose name contains `text`, with the number of times that each occurred."""
        return [fault for fault in self.cloud.request("GET", FAULTS) if text in fault["match"]]

    def has_struck(self, spec: str) -> bool:
        """Return whether a fault in force, given by the text that added it, has occurred."""
        target, _, rest = spec.partition("@")
        match = rest.partition(":")[0]
        found = self.cloud.request("GET", FAULTS)
        return any(fault["struck"] for fault in found if (fault["target"], fault["match"]) == (target, match))

    def operations(self) -> set[str]:
        """Return the SageMaker operations called so far."""
        return {entry["operation"] for entry in self.cloud.request("GET", OPERATIONS)}

    def announce(self, event: dict[str, Any]) -> None:
        """Put an event into the queue as EventBridge does, and have it looked into."""
        self.client("sqs").send_message(
            QueueUrl=self.outputs["QueueUrl"],
            MessageBody=json.dumps(event),
            MessageGroupId="runs",
            MessageDeduplicationId=uuid.uuid4().hex,
        )
        self.invoke("start-run", {"wait_seconds": 0}, kind="Event")

    def receive_again_after(self, seconds: int) -> None:
        """Let an event be received again sooner after start_run failed, so that those behind it do not wait as long."""
        attributes = {"VisibilityTimeout": str(seconds)}
        self.client("sqs").set_queue_attributes(QueueUrl=self.outputs["QueueUrl"], Attributes=attributes)

    def is_queue_empty(self) -> bool:
        """Return whether no event waits in the queue, nor is being handled."""
        counted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        url = self.outputs["QueueUrl"]
        found = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=counted)["Attributes"]
        return not any(int(each) for each in found.values())

    def messages_to(self, queue_url: str) -> Iterable[dict[str, Any]]:
        """Receive and delete all messages of a queue; yield the JSON of each."""
        while found := self.client("sqs").receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                self.client("sqs").delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
                yield json.loads(message["Body"])


def object_created(run: Run, bucket: str, size: int = 1, etag: str = "0" * 32) -> dict[str, Any]:
    """Return the event that EventBridge sends when an object was created.

    Its fields: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
    """
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "000000000000",
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": "us-east-1",
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {"key": run.key, "size": size, "etag": etag, "version-id": run.version_id, "sequencer": "0062"},
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "000000000000",
            "source-ip-address": "127.0.0.1",
            "reason": "PutObject",
        },
    }


def eventually(
    holds: Callable[[], Any], seconds: float, complaint: str = "the condition is not met", *, every: float = 0.05
) -> Any:
    """Return what `holds` returns once it is true; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"{complaint} after {seconds:.0f} s"
        time.sleep(every)
    return found
