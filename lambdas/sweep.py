"""The janitor: remove whatever carries this stack's tags and belongs to no running execution.

Aborted and timed-out executions run no Catch. This function runs on their status change, and on a schedule.
"""

from functools import cache
from typing import Any

from botocore.exceptions import ClientError

from jobs.requests import EXECUTION_TAG, STACK_TAG
from lambdas.errors import code_of
from lambdas.leftovers import Resource, find, remove
from lambdas.runtime import client, count, entry_point, logger, settings


@entry_point
def handler(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Remove what no running execution owns, and say what was found and what is still pending."""
    running = cache(_is_running)  # an execution's status is asked for once a sweep
    leaks = [each for each in find(f"{settings().stack}-") if _is_leak(each, running)]
    if leaks:
        logger.warning("leaks found", resources=[str(each) for each in leaks])
    count(LeaksFound=len(leaks))
    return {"found": [str(each) for each in leaks], "pending": [str(each) for each in remove(leaks)]}


def _is_leak(resource: Resource, running: Any) -> bool:
    try:
        found = client("sagemaker").list_tags(ResourceArn=resource.arn)["Tags"]
    except ClientError as error:
        if code_of(error) in ("ValidationException", "ResourceNotFound"):  # gone since it was listed
            return False
        raise
    tags = {tag["Key"]: tag["Value"] for tag in found}
    return tags.get(STACK_TAG) == settings().stack and not running(tags.get(EXECUTION_TAG, ""))


def _is_running(execution_arn: str) -> bool:
    states = client("stepfunctions")
    try:
        return bool(states.describe_execution(executionArn=execution_arn)["status"] == "RUNNING")
    except (states.exceptions.ExecutionDoesNotExist, states.exceptions.InvalidArn):
        return False
