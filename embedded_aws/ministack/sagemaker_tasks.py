"""Step Functions' optimized integration of SageMaker: ``arn:aws:states:::sagemaker:createTrainingJob.sync`` and others.

https://docs.aws.amazon.com/step-functions/latest/dg/connect-sagemaker.html
"""

from __future__ import annotations

import json
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import stepfunctions as sfn

from embedded_aws.ministack.authorization import authorize_task
from embedded_aws.ministack.interpreter import Stopped, current_scope

_ACTIONS = ("createTrainingJob", "createModel", "createEndpointConfig", "createEndpoint", "updateEndpoint")
_PREFIX = "arn:aws:states:::sagemaker:"
_POLL_SECONDS = 1
_RULE = "StepFunctionsGetEventsForSageMakerTrainingJobsRule"
_RULE_ACTIONS = ("events:DescribeRule", "events:PutRule", "events:PutTargets")


def apply() -> None:
    """Add the integration to the tasks that ministack dispatches."""
    sfn._SERVICE_DISPATCH.update({f"{_PREFIX}{action}": _perform for action in _ACTIONS})


def _perform(resource: str, parameters: dict[str, Any]) -> Any:
    """Call SageMaker; with ``.sync``, wait for the training job's end and return its description."""
    action, _, pattern = resource.removeprefix(_PREFIX).partition(".")
    if not pattern:
        return _call(action, parameters)
    if (action, pattern) != ("createTrainingJob", "sync"):
        raise sfn._ExecutionError("States.Runtime", f"{resource} is not implemented; createTrainingJob.sync is")
    _require_rule()
    _call(action, parameters)
    name = {"TrainingJobName": parameters["TrainingJobName"]}
    job = _call("describeTrainingJob", name)
    try:
        while job["TrainingJobStatus"] in ("InProgress", "Stopping"):
            sfn._scaled_sleep(_POLL_SECONDS)
            job = _call("describeTrainingJob", name)
    except Stopped:
        # A task that is aborted stops its job: connect-to-resource.html#connect-sync.
        _call("stopTrainingJob", name)
        raise
    if job["TrainingJobStatus"] != "Completed":
        raise sfn._ExecutionError("States.TaskFailed", json.dumps(job))
    return job


def _call(action: str, parameters: dict[str, Any]) -> Any:
    """Call SageMaker under the state machine's role.

    This integration names errors after version 1 of the Java SDK, in which the base class of a service's exceptions is
    ``AmazonSageMakerException`` (https://github.com/aws/aws-step-functions-data-science-sdk-python/pull/162).
    """
    try:
        return sfn._invoke_aws_sdk_integration(f"arn:aws:states:::aws-sdk:sagemaker:{action}", parameters)
    except sfn._ExecutionError as error:
        if error.error != "SageMaker.SageMakerException":
            raise
        raise sfn._ExecutionError("SageMaker.AmazonSageMakerException", error.cause) from error


def _require_rule() -> None:
    """Check that the role may manage the rule by which AWS learns of a job's end.

    AWS checks this when the state machine is created: https://docs.aws.amazon.com/step-functions/latest/dg/sagemaker-iam.html
    """
    if scope := current_scope.get():
        rule = f"arn:aws:events:{get_region()}:{get_account_id()}:rule/{_RULE}"
        for action in _RULE_ACTIONS:
            authorize_task(scope.run.role_arn, action, rule, "SageMaker.AmazonSageMakerException")
