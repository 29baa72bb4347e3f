"""An AWS in memory for the handlers: S3, SageMaker, Step Functions, SNS and EventBridge.

Real boto3 clients call it: botocore validates every request against the service's model and reads errors and pages as
it does from AWS. Only the sending is replaced.
"""

import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

ACCOUNT = "arn:aws:sagemaker:us-east-1:123456789012:"
TAKEN = "Cannot create already existing"
_SMALLEST_PART = 5 * 2**20  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html


@dataclass
class FakeAws:
    """The state of the account.

    Attributes
    ----------
    objects
        The body of every object's newest version, by bucket and key.
    options
        The parameters that each object was written with, such as ``Tagging`` and ``ContentType``.
    resources
        SageMaker's endpoints, endpoint configs, models and training jobs, by kind and name.
    endpoints
        The response of each endpoint to a request's body.
    refusals
        The error code and message with which an operation fails, by operation and a text that its parameters contain.
    unlisted
        The names of endpoints that exist but that lists do not show yet.
    log_groups
        The retention in days and the creation time in milliseconds of each log group.
    refused_events
        The error code and message of every event in a response of EventBridge that otherwise succeeds.
    race
        Kind, name and tags of a resource that someone creates right before the next call that creates it.
    calls
        Every operation that was called, with its parameters.
    """

    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)
    options: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    resources: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[str, Any] = field(default_factory=dict)
    executions: dict[str, dict[str, Any]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    map_runs: list[dict[str, Any]] = field(default_factory=list)
    map_executions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    refusals: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    unlisted: set[str] = field(default_factory=set)
    log_groups: dict[str, dict[str, int]] = field(default_factory=dict)
    refused_events: tuple[str, str] | None = None
    race: tuple[str, str, list[dict[str, str]]] | None = None
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)

    def call_of(self) -> Callable[[Any, str, dict[str, Any]], dict[str, Any]]:
        """Return the replacement of ``BaseClient._make_api_call``: every call of every client comes here."""
        # As an attribute of the class, a function receives the client, which a bound method would not.
        return lambda client, operation, parameters: self._call(client, operation, parameters)  # noqa: PLW0108

    def _call(self, client: Any, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        shape = client.meta.service_model.operation_model(operation).input_shape
        report = ParamValidator().validate(parameters, shape)
        assert not report.has_errors(), f"{operation}: {report.generate_report()}"
        self.calls.append((operation, parameters))
        for (refused, text), (code, message) in self.refusals.items():
            if refused == operation and text in str(parameters):
                raise _error(client, code, message, operation)
        try:
            response: dict[str, Any] = getattr(self, f"_{operation}")(**parameters) or {}
        except _RefusalError as refusal:
            raise _error(client, refusal.code, refusal.message, operation) from None
        return response

    def called(self, operation: str) -> list[dict[str, Any]]:
        """Return the parameters of every call of an operation."""
        return [parameters for name, parameters in self.calls if name == operation]

    def add(self, kind: str, name: str, tags: Iterable[dict[str, str]] = (), **fields: Any) -> dict[str, Any]:
        """Create a SageMaker resource, as if someone else had."""
        arn = f"{ACCOUNT}{kind.lower()}/{name}"
        self.resources[kind, name] = {f"{kind}Name": name, f"{kind}Arn": arn, "Tags": list(tags), **fields}
        return self.resources[kind, name]

    def names(self, kind: str) -> list[str]:
        """Return the names of SageMaker's resources of one kind."""
        return [name for each, name in self.resources if each == kind]

    # S3

    def _GetObject(self, *, Bucket: str, Key: str, Range: str = "", VersionId: str = "") -> dict[str, Any]:
        if (Bucket, Key) not in self.objects:
            raise _RefusalError("NoSuchVersion" if VersionId else "NoSuchKey", "it does not exist")
        body = self.objects[Bucket, Key]
        first, end = 0, len(body)
        if Range:
            first, _, last = Range.removeprefix("bytes=").partition("-")  # type: ignore[assignment]
            first, end = int(first), min(int(last) + 1 if last else end, end)
        part = body[first:end]
        return {
            "Body": io.BytesIO(part),
            "ContentLength": len(part),
            "ETag": _etag(body),
            "ContentRange": f"bytes {first}-{end - 1}/{len(body)}",
            "ResponseMetadata": {"HTTPStatusCode": 200, "RetryAttempts": 0},
        }

    def _HeadObject(self, *, Bucket: str, Key: str, VersionId: str = "v1") -> dict[str, Any]:
        if (Bucket, Key) not in self.objects:
            raise _RefusalError("404", "Not Found")
        return {
            "VersionId": VersionId,
            "ETag": '"etag"',
            "ContentLength": len(self.objects[Bucket, Key]),
            "Metadata": self.options.get((Bucket, Key), {}).get("Metadata", {}),
        }

    def _PutObject(
        self, *, Bucket: str, Key: str, Body: Any, IfMatch: str = "", IfNoneMatch: str = "", **options: Any
    ) -> None:
        before = self.objects.get((Bucket, Key))
        changed = bool(IfMatch) and (before is None or IfMatch != _etag(before))
        if changed or (IfNoneMatch and before is not None):
            raise _RefusalError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        self.objects[Bucket, Key] = Body if isinstance(Body, bytes) else Body.read()
        self.options[Bucket, Key] = options

    def _CreateMultipartUpload(self, *, Bucket: str, Key: str, **options: Any) -> dict[str, Any]:
        upload = f"{Bucket}/{Key}"
        self._uploads[upload] = {}
        self.options[Bucket, Key] = options
        return {"UploadId": upload}

    def _UploadPart(self, *, UploadId: str, PartNumber: int, Body: Any, **_: Any) -> dict[str, Any]:
        self._uploads[UploadId][PartNumber] = Body if isinstance(Body, bytes) else Body.read()
        return {"ETag": f'"{PartNumber}"'}

    def _CompleteMultipartUpload(self, *, Bucket: str, Key: str, UploadId: str, **_: Any) -> None:
        parts = self._uploads[UploadId]
        if any(len(part) < _SMALLEST_PART for number, part in parts.items() if number < max(parts)):
            raise _RefusalError("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        del self._uploads[UploadId]
        self.objects[Bucket, Key] = b"".join(parts[number] for number in sorted(parts))

    def _AbortMultipartUpload(self, *, UploadId: str, **_: Any) -> None:
        del self._uploads[UploadId]

    # SageMaker

    def _create(self, kind: str, taken: tuple[str, str], /, **body: Any) -> dict[str, Any]:
        name = body[f"{kind}Name"]
        if self.race and self.race[:2] == (kind, name):
            self.add(kind, name, self.race[2], **{each: value for each, value in body.items() if each != "Tags"})
        if (kind, name) in self.resources:
            raise _RefusalError(*taken)
        return {f"{kind}Arn": self.add(kind, name, body.pop("Tags", ()), **body)[f"{kind}Arn"]}

    def _CreateTrainingJob(self, **body: Any) -> dict[str, Any]:
        taken = ("ResourceInUse", "Job name must be unique within an AWS account and region")
        return self._create("TrainingJob", taken, **body, TrainingJobStatus="InProgress")

    def _CreateModel(self, **body: Any) -> dict[str, Any]:
        return self._create("Model", ("ValidationException", f'{TAKEN} model "arn"'), **body)

    def _CreateEndpointConfig(self, **body: Any) -> dict[str, Any]:
        taken = ("ValidationException", f'{TAKEN} endpoint configuration "arn"')
        return self._create("EndpointConfig", taken, **body)

    def _CreateEndpoint(self, **body: Any) -> dict[str, Any]:
        taken = ("ValidationException", f'{TAKEN} endpoint "arn"')
        return self._create("Endpoint", taken, **body, EndpointStatus="Creating")

    def _named(self, kind: str, name: str) -> dict[str, Any]:
        if (kind, name) not in self.resources:
            raise _RefusalError("ValidationException", f'Could not find {kind.lower()} "{name}".')
        return self.resources[kind, name]

    def _DescribeTrainingJob(self, *, TrainingJobName: str) -> dict[str, Any]:
        return self._named("TrainingJob", TrainingJobName)

    def _DescribeEndpoint(self, *, EndpointName: str) -> dict[str, Any]:
        return self._named("Endpoint", EndpointName)

    def _DescribeEndpointConfig(self, *, EndpointConfigName: str) -> dict[str, Any]:
        return self._named("EndpointConfig", EndpointConfigName)

    def _DescribeModel(self, *, ModelName: str) -> dict[str, Any]:
        return self._named("Model", ModelName)

    def _ListTags(self, *, ResourceArn: str, **_: Any) -> dict[str, Any]:
        for (kind, _name), each in self.resources.items():
            if each[f"{kind}Arn"] == ResourceArn:
                return {"Tags": each["Tags"]}
        raise _RefusalError("ValidationException", f"{ResourceArn} does not exist")

    def _list(self, kind: str, listed: str, text: str, status: str = "") -> dict[str, Any]:
        found = [each for (one, name), each in self.resources.items() if one == kind and text in name]
        return {listed: [each for each in found if not status or each[f"{kind}Status"] == status]}

    def _ListTrainingJobs(self, *, NameContains: str = "", StatusEquals: str = "", **_: Any) -> dict[str, Any]:
        return self._list("TrainingJob", "TrainingJobSummaries", NameContains, StatusEquals)

    def _ListEndpoints(self, *, NameContains: str = "", **_: Any) -> dict[str, Any]:
        found = self._list("Endpoint", "Endpoints", NameContains)["Endpoints"]
        return {"Endpoints": [each for each in found if each["EndpointName"] not in self.unlisted]}

    def _ListEndpointConfigs(self, *, NameContains: str = "", **_: Any) -> dict[str, Any]:
        return self._list("EndpointConfig", "EndpointConfigs", NameContains)

    def _ListModels(self, *, NameContains: str = "", **_: Any) -> dict[str, Any]:
        return self._list("Model", "Models", NameContains)

    def _DeleteEndpoint(self, *, EndpointName: str) -> None:
        endpoint = self._named("Endpoint", EndpointName)
        if endpoint["EndpointStatus"] in ("Creating", "Updating"):
            raise _RefusalError("ValidationException", f"Cannot update in-progress endpoint {EndpointName}")
        endpoint["EndpointStatus"] = "Deleting"

    def _DeleteEndpointConfig(self, *, EndpointConfigName: str) -> None:
        self._named("EndpointConfig", EndpointConfigName)
        del self.resources["EndpointConfig", EndpointConfigName]

    def _DeleteModel(self, *, ModelName: str) -> None:
        self._named("Model", ModelName)
        del self.resources["Model", ModelName]

    def _StopTrainingJob(self, *, TrainingJobName: str) -> None:
        self._named("TrainingJob", TrainingJobName)["TrainingJobStatus"] = "Stopping"

    def _InvokeEndpoint(self, *, EndpointName: str, Body: bytes, **_: Any) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.endpoints[EndpointName](Body))}

    # Step Functions

    def _StartExecution(self, *, stateMachineArn: str, name: str, **_: Any) -> dict[str, Any]:
        arn = f"{stateMachineArn.replace(':stateMachine:', ':execution:')}:{name}"
        if arn in self.executions:
            raise _RefusalError("ExecutionAlreadyExists", arn)
        self.executions[arn] = {"executionArn": arn, "status": "RUNNING"}
        return {"executionArn": arn}

    def _DescribeExecution(self, *, executionArn: str) -> dict[str, Any]:
        if executionArn not in self.executions:
            raise _RefusalError("ExecutionDoesNotExist", executionArn)
        return self.executions[executionArn]

    def _GetExecutionHistory(self, **_: Any) -> dict[str, Any]:
        return {"events": self.history}

    def _ListMapRuns(self, **_: Any) -> dict[str, Any]:
        return {"mapRuns": self.map_runs}

    def _ListExecutions(self, *, mapRunArn: str, statusFilter: str) -> dict[str, Any]:
        listed = self.map_executions[mapRunArn]
        return {
            "executions": [each for each in listed if self.executions[each["executionArn"]]["status"] == statusFilter]
        }

    # Logs

    def _DescribeLogGroups(self, *, logGroupNamePrefix: str) -> dict[str, Any]:
        found = {name: group for name, group in self.log_groups.items() if name.startswith(logGroupNamePrefix)}
        return {"logGroups": [{"logGroupName": name, **group} for name, group in found.items()]}

    def _PutRetentionPolicy(self, *, logGroupName: str, retentionInDays: int) -> None:
        self.log_groups[logGroupName]["retentionInDays"] = retentionInDays

    def _DeleteLogGroup(self, *, logGroupName: str) -> None:
        del self.log_groups[logGroupName]

    # Messages

    def _Publish(self, **message: Any) -> None:
        self.messages.append(message)

    def _PutEvents(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        if self.refused_events:
            code, message = self.refused_events
            refused = [{"ErrorCode": code, "ErrorMessage": message} for _ in Entries]
            return {"FailedEntryCount": len(refused), "Entries": refused}
        self.events += Entries
        return {"FailedEntryCount": 0, "Entries": [{"EventId": str(number)} for number, _ in enumerate(Entries)]}


class _RefusalError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def _error(client: Any, code: str, message: str, operation: str) -> ClientError:
    error: type[ClientError] = client.exceptions.from_code(code)
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return error(response, operation)


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
