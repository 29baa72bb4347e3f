"""The janitor: remove whatever carries this stack's tags and belongs to no running execution.

Aborted and timed-out executions run no Catch. This function runs on their status change, and on a schedule.
"""

from collections import defaultdict
from functools import cache
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from contract.names import EXECUTION_TAG, RUN_TAG, STACK_TAG
from contract.payloads import Swept
from lambdas.support.leftovers import Resource, find, remove, tags_of
from lambdas.support.runtime import client, count, entry_point, logger, settings


@entry_point
def handler(_event: dict[str, Any], _context: Any) -> Swept:
    """Remove what no running execution owns, and say what was found and what is still pending.

    Each run's leftovers are removed for themselves: one that can't be removed keeps no other run's.
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
    if refusals:
        raise refusals[0]
    return {"found": found, "pending": pending}


def _leaks_by_run() -> dict[str, list[Resource]]:
    running = cache(_is_running)  # an execution's status is asked for once a sweep
    leaks: defaultdict[str, list[Resource]] = defaultdict(list)
    for each in find(f"{settings().deployment_id}-"):
        tags = tags_of(each)
        if tags.get(STACK_TAG) == settings().deployment_id and not running(tags.get(EXECUTION_TAG, "")):
            leaks[tags.get(RUN_TAG, "")].append(each)
    return leaks


def _is_running(execution_arn: str) -> bool:
    if not execution_arn.startswith(settings().state_machine_arn.replace(":stateMachine:", ":execution:")):
        return False  # what carries the stack's tag without an execution of its machine, nobody will remove
    states = client("stepfunctions")
    try:
        return bool(states.describe_execution(executionArn=execution_arn)["status"] == "RUNNING")
    except states.exceptions.ExecutionDoesNotExist:
        return False
