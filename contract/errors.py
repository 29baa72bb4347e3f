"""The errors with which a run can end: what each means, and what to do.

docs/errors.md is generated from this list, and the notification about a failed run quotes it.
"""

from dataclasses import dataclass

TRANSIENT_ERRORS = (
    "ThrottlingException",
    "Throttling",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "InternalFailure",
    "InternalServerError",
    "InternalServerException",
    "InternalError",
    "SlowDown",
    "RequestTimeout",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "ConnectionError",
)
"""Error codes of AWS after which the same request may succeed later; the handlers raise errors with these names."""

MODEL_ERRORS = ("ModelError", "ModelNotReadyException")
"""An endpoint has just come into service, or its container is busy."""

SAGEMAKER_ERRORS = ("SageMaker.SageMakerException", "SageMaker.SdkClientException", "SageMaker.ThrottlingException")
"""The state machine's own requests to SageMaker failed.

Step Functions reports every error that SageMaker's model does not define as SageMakerException, and a request without a
response, for example because the connection broke, as SdkClientException.
"""

LAMBDA_ERRORS = (
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
)
"""Errors of the Lambda service: the function did not run."""

PROCESS_ERRORS = ("Lambda.Unknown", "Runtime.ExitError", "Sandbox.Timedout")
"""The function's process ended or ran out of time."""


@dataclass(frozen=True)
class ErrorKind:
    """Errors that need the same remedy.

    Attributes
    ----------
    names
        The names under which Step Functions reports them.
    meaning, remedy
        What happened, and what to do; whole sentences.
    """

    names: tuple[str, ...]
    meaning: str
    remedy: str


ERRORS: tuple[ErrorKind, ...] = (
    ErrorKind(
        ("InvalidCensus",),
        "The CSV was refused before anything was launched.",
        "Fix what `problems.json` lists, then upload the file again: a new version is a new run.",
    ),
    ErrorKind(
        ("ResourceLimitExceeded",),
        "The quotas of the account allow none of the instance types, or the region offers none of them.",
        "Raise a quota, or add an instance type to `training_instance_types` or `hosting_instance_types` and deploy;"
        " then redrive.",
    ),
    ErrorKind(
        ("QuotaFull",),
        "A quota is large enough, but other resources used all of it for longer than `capacity_wait_seconds`.",
        "Wait until they have ended, or raise the quota; then redrive.",
    ),
    ErrorKind(
        ("InsufficientCapacity",),
        "AWS had no instance of any of the listed types.",
        "Wait, then redrive.",
    ),
    ErrorKind(
        ("TrainingJobFailed",),
        "The training job failed; the cause is its FailureReason.",
        "Read the log of the job in `/aws/sagemaker/TrainingJobs`. A redrive creates a new job; a re-run starts over.",
    ),
    ErrorKind(
        ("EndpointFailed",),
        "The endpoint failed; the cause is its FailureReason.",
        "Read the log of the endpoint in `/aws/sagemaker/Endpoints/<endpoint>`. A redrive creates a new endpoint.",
    ),
    ErrorKind(
        ("TrainingJobTimedOut", "EndpointTimedOut"),
        "SageMaker took longer than the settings allow.",
        "Look at the AWS Health Dashboard, then redrive.",
    ),
    ErrorKind(
        ("TrainingJobEnded", "EndpointEnded"),
        "The job or the endpoint was stopped or deleted while the run waited for it.",
        "Redrive.",
    ),
    ErrorKind(
        ("AccessDenied", "AccessDeniedException"),
        "A role lacks a permission; the message names the action and the resource. S3 also gives this response"
        " if a file of the run was deleted, because the functions may not list the results bucket.",
        "Grant the permission in `infra/` or in the policy that forbids it, deploy, then redrive. If a file was"
        " deleted, upload the CSV again.",
    ),
    ErrorKind(
        ("NameTaken",),
        "A resource has a name of this run, but not its tags.",
        "Delete or rename that resource, then redrive.",
    ),
    ErrorKind(
        MODEL_ERRORS,
        "The container of a model refused a request, again after each retry.",
        "Read the log of the endpoint in `/aws/sagemaker/Endpoints/<endpoint>`, then redrive.",
    ),
    ErrorKind(
        ("IncompleteAnswer",),
        "A response of an endpoint does not have a record for every row of its shard.",
        "Read the log of the endpoint in `/aws/sagemaker/Endpoints/<endpoint>`, then redrive.",
    ),
    ErrorKind(
        ("ArtifactError", "RecordIOError", "NDArrayError", "FormatError"),
        "A model or a file of SageMaker is damaged, or has another format than that of its algorithm.",
        "Compare the file with the manifest of an earlier run. A redrive reads it again; a re-run creates a new one.",
    ),
    ErrorKind(
        ("SourceChanged",),
        "The CSV changed while Prepare read it, which only an unversioned bucket allows.",
        "Switch on versioning of the incoming bucket, then upload the file again.",
    ),
    ErrorKind(
        ("NoSuchKey", "NoSuchVersion", "NoSuchBucket"),
        "The CSV, or a file of the run, was deleted while the run needed it.",
        "Upload the CSV again: a new version is a new run.",
    ),
    ErrorKind(
        ("TeardownTimedOut",),
        "A resource could not be deleted within `teardown_timeout_seconds`; an alarm was raised.",
        "Delete the resource that the message names by hand if the janitor, which continues, does not delete it.",
    ),
    ErrorKind(
        TRANSIENT_ERRORS,
        "AWS refused a request, or could not be reached, for longer than the retries last.",
        "Look at the AWS Health Dashboard, then redrive.",
    ),
    ErrorKind(
        SAGEMAKER_ERRORS,
        "The state machine could not request the status of a job or an endpoint; the cause gives the reason.",
        "Fix the reason, such as a missing permission of the state machine's role, then redrive.",
    ),
    ErrorKind(
        ("SageMaker.ResourceNotFoundException",),
        "The job or the endpoint that the run waits for does not exist; it was deleted.",
        "Redrive.",
    ),
    ErrorKind(
        LAMBDA_ERRORS,
        "Lambda did not run a function; the cause gives the reason.",
        "Fix the reason, such as the limit of concurrent executions of the account, then redrive.",
    ),
    ErrorKind(
        PROCESS_ERRORS,
        "The process of a function ended, most often for lack of memory, or ran out of time.",
        "Read the log of the function, give it more memory or time in `infra/functions.py`, deploy, then redrive.",
    ),
    ErrorKind(
        ("States.Timeout",),
        "A state of the state machine took longer than its limit.",
        "Read the log of the function that the state invokes, then redrive.",
    ),
    ErrorKind(
        ("States.ExceedToleratedFailureThreshold",),
        "A shard failed without the name of an error; otherwise the run fails with the error of the shard.",
        "Look at the child executions of the Map Run, then redrive.",
    ),
    ErrorKind(
        ("States.ItemReaderFailed",),
        "The state machine could not read `shards.json`; the cause gives the reason.",
        "Fix the reason, such as a missing permission of the state machine's role, then redrive.",
    ),
    ErrorKind(
        ("States.Runtime", "States.DataLimitExceeded"),
        "The state machine met input that its definition does not expect.",
        "Report it as a bug, with the execution's input and history.",
    ),
)

OTHER = ErrorKind(
    (),
    "The error code of a response of AWS, or the exception of a function.",
    "Read the log of the function, which has the stack trace; fix the reason, then redrive.",
)
"""Stands for every name that is not listed."""


def kind_of(error: str) -> ErrorKind:
    """Return what is known about the error with this name."""
    return next((kind for kind in ERRORS if error in kind.names), OTHER)
