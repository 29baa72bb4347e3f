"""The state machine's tasks: invocations of functions and describe calls to SageMaker, with time limits and retries."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from contract.errors import LAMBDA_ERRORS, MODEL_ERRORS, PROCESS_ERRORS, SAGEMAKER_ERRORS, TRANSIENT_ERRORS

# A retry may help; further retries would fail in the same way.
_PROCESS_ERRORS = (*PROCESS_ERRORS, sfn.Errors.TIMEOUT)
# A new resource may not be found yet.
_DESCRIBE_ERRORS = ("SageMaker.ResourceNotFoundException", *SAGEMAKER_ERRORS, sfn.Errors.TIMEOUT)

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
    also_retry: Literal["model"] | None = None,
) -> tasks.LambdaInvoke:
    """Return a state that invokes a function.

    Parameters
    ----------
    payload
        The function's event.
    result
        The fields to keep of its response, which is at ``$.Payload``.
    result_path
        Where to keep them in the state's input.
    also_retry
        ``model``: the errors of a model's container.
    """
    task = _invoke(scope, name, function, payload, result=result, result_path=result_path)
    if also_retry == "model":
        _retry(task, MODEL_ERRORS, first=2, attempts=4, longest=30)
    _retry(task, LAMBDA_ERRORS + TRANSIENT_ERRORS, first=2, attempts=5, longest=60)
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
    """Return a state that invokes a function that ends a failed execution by raising that execution's first error.

    The error that it raises may be one that other tasks retry. It is therefore retried only, and at most twice, if
    Lambda itself failed or the function's process ended.
    """
    task = _invoke(scope, name, function, payload, result=result, result_path=result_path)
    _retry(task, LAMBDA_ERRORS + _PROCESS_ERRORS, first=1, attempts=2, longest=5)
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
        # _retry adds retries that cover these exceptions and more.
        retry_on_service_exceptions=False,
    )


def describe_task(
    scope: Construct, name: str, action: str, parameters: Mapping[str, Any], *, iam_resource: str, result_path: str
) -> tasks.CallAwsService:
    """Return a state that calls a describe operation of SageMaker directly, without a function."""
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
    _retry(task, _DESCRIBE_ERRORS, first=2, attempts=6, longest=60)
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
