"""Deletes SageMaker resources with this stack's tags that belong to no running execution (the janitor).

Step Functions runs no Catch when an execution is aborted or times out. This function therefore runs on every such
status change, and on a schedule.
"""

from collections import defaultdict
from functools import cache
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from contract.names import EXECUTION_TAG, RUN_TAG, STACK_TAG
from contract.payloads import Swept
from lambdas.support.endpoint_logs import limit_retention
from lambdas.support.leftovers import Resource, find, remove, tags_of
from lambdas.support.runtime import client, count, entry_point, logger, settings


@entry_point
def handler(_event: dict[str, Any], _context: Any) -> Swept:
    """Delete the resources that no running execution owns; return those found and those still being deleted.

    Limits how long the logs of endpoints are kept, too.

    A resource that cannot be deleted does not stop the deletion of other runs' resources; its error is raised at the
    end.
    """
    leaks = _leaks_by_run()
    found = [str(each) for run in leaks.values() for each in run]
    if found:
        logger.warning("leaks found", resources=found)
    count(LeaksFound=len(found))
    pending: list[str] = []
    refusals: list[Exception] = []
    for run in leaks.values():
        try:
            pending += [str(each) for each in remove(run)]
        except (BotoCoreError, ClientError) as error:
            refusals.append(error)
    if settings().hosts_models:
        try:
            limit_retention()
        except (BotoCoreError, ClientError) as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]
    return {"found": found, "pending": pending}


def _leaks_by_run() -> dict[str, list[Resource]]:
    running = cache(_is_running)  # requests the status of each execution once per sweep
    leaks: defaultdict[str, list[Resource]] = defaultdict(list)
    for each in find(f"{settings().deployment_id}-"):
        tags = tags_of(each)
        if tags.get(STACK_TAG) == settings().deployment_id and not running(tags.get(EXECUTION_TAG, "")):
            leaks[tags.get(RUN_TAG, "")].append(each)
    return leaks


def _is_running(execution_arn: str) -> bool:
    if not execution_arn.startswith(settings().state_machine_arn.replace(":stateMachine:", ":execution:")):
        # Resources with the stack's tag but without an execution of this state machine have no other owner, so the
        # sweep deletes them.
        return False
    states = client("stepfunctions")
    try:
        return bool(states.describe_execution(executionArn=execution_arn)["status"] == "RUNNING")
    except states.exceptions.ExecutionDoesNotExist:
        return False
