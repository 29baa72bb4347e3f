"""The state machine's two kinds of task, a function and a question to SageMaker, with time limits and retries."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

# Lambda's own troubles: nothing of ours ran.
_LAMBDA_ERRORS = (
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
)
# A function whose process died or ran out of time: worth another try, but what kills it twice kills it always.
_PROCESS_ERRORS = ("Lambda.Unknown", "Runtime.ExitError", "Sandbox.Timedout", sfn.Errors.TIMEOUT)
# What AWS answers when the same request may succeed a little later; the handlers raise errors under these codes.
_TRANSIENT_ERRORS = (
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
# An endpoint that just came into service, or whose container is busy.
_MODEL_ERRORS = ("ModelError", "ModelNotReadyException")
# A quota that other runs use up; once they end there is room.
_QUOTA_ERRORS = ("ResourceLimitExceeded",)
# SageMaker's errors without a modelled exception reach Step Functions under this name, whatever their code.
_SAGEMAKER_ERRORS = ("SageMaker.SageMakerException", "SageMaker.ThrottlingException", sfn.Errors.TIMEOUT)

_DESCRIBE_SECONDS = 30
# A task's limit is a little above its function's, so that the function reports its own time-out.
_GRACE_SECONDS = 10


def function_task(
    scope: Construct,
    name: str,
    function: lambda_.Function,
    payload: Mapping[str, Any],
    *,
    result: Mapping[str, Any],
    result_path: str,
    also_retry: Literal["quota", "model"] | None = None,
) -> tasks.LambdaInvoke:
    """Return a state that invokes a function.

    Parameters
    ----------
    payload
        What the function is given.
    result
        What to keep of its answer, which is at ``$.Payload``.
    result_path
        Where to keep it.
    also_retry
        ``quota``: the account's limits, which other runs use up. ``model``: what a model's container answers.
    """
    task = _invoke(scope, name, function, payload, result=result, result_path=result_path)
    if also_retry == "quota":
        _retry(task, _QUOTA_ERRORS, first=15, attempts=4, longest=120)
    if also_retry == "model":
        _retry(task, _MODEL_ERRORS, first=2, attempts=4, longest=30)
    _retry(task, _LAMBDA_ERRORS + _TRANSIENT_ERRORS, first=2, attempts=5, longest=60)
    _retry(task, _PROCESS_ERRORS, first=2, attempts=2, longest=60)
    return task


def failing_task(
    scope: Construct,
    name: str,
    function: lambda_.Function,
    payload: Mapping[str, Any],
    *,
    result: Mapping[str, Any],
    result_path: str,
) -> tasks.LambdaInvoke:
    """Return a state that invokes a function which raises on purpose, under any error's name.

    An error worth a retry elsewhere may be the very one it ends the execution with: it is retried twice, and only where
    Lambda itself failed or the process died.
    """
    task = _invoke(scope, name, function, payload, result=result, result_path=result_path)
    _retry(task, _LAMBDA_ERRORS + _PROCESS_ERRORS, first=1, attempts=2, longest=5)
    return task


def _invoke(
    scope: Construct,
    name: str,
    function: lambda_.Function,
    payload: Mapping[str, Any],
    *,
    result: Mapping[str, Any],
    result_path: str,
) -> tasks.LambdaInvoke:
    assert function.timeout is not None  # noqa: S101 - for the type checker: every function has one
    return tasks.LambdaInvoke(
        scope,
        name,
        lambda_function=function,
        payload=sfn.TaskInput.from_object(dict(payload)),
        result_selector=dict(result),
        result_path=result_path,
        task_timeout=sfn.Timeout.duration(Duration.seconds(function.timeout.to_seconds() + _GRACE_SECONDS)),
        # Our own lists say more.
        retry_on_service_exceptions=False,
    )


def describe_task(
    scope: Construct, name: str, action: str, parameters: Mapping[str, Any], *, iam_resource: str, result_path: str
) -> tasks.CallAwsService:
    """Return a state that asks SageMaker how something is, without a function."""
    task = tasks.CallAwsService(
        scope,
        name,
        service="sagemaker",
        action=action,
        parameters=dict(parameters),
        iam_resources=[iam_resource],
        result_path=result_path,
        task_timeout=sfn.Timeout.duration(Duration.seconds(_DESCRIBE_SECONDS)),
    )
    _retry(task, _SAGEMAKER_ERRORS, first=2, attempts=6, longest=60)
    return task


def _retry(
    task: tasks.LambdaInvoke | tasks.CallAwsService,
    errors: Sequence[str],
    *,
    first: int,
    attempts: int,
    longest: int,
) -> None:
    task.add_retry(
        errors=list(errors),
        interval=Duration.seconds(first),
        max_attempts=attempts,
        backoff_rate=2,
        max_delay=Duration.seconds(longest),
        jitter_strategy=sfn.JitterType.FULL,
    )
