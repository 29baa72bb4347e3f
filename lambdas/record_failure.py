"""Record why a run failed, tell people, and end the execution with that very error.

It raises the first error itself: Step Functions re-enters a Fail state on a redrive and fails again, but it runs a
failed task again. Redriven, this task returns the phase at which the run goes on.
"""

import json
from operator import itemgetter
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from contract.layout import RunLayout
from jobs.run.failure import Failure
from lambdas.support.errors import named_error
from lambdas.support.launching import redrives_of
from lambdas.support.runtime import client, count, entry_point, logger, settings
from lambdas.support.storage import Bucket


@entry_point
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Write failure.json, notify and raise; or, redriven since, return the phase to resume at."""
    noted = event["failure"]
    if redrives_of(event["execution"]) > redrives_of(noted["execution"]):
        return {"phase": noted["phase"]}
    failure = Failure.of_event(event, _first_error(noted["error"], event["execution"]["Id"]))
    document = json.dumps(failure.as_dict(), indent=2, ensure_ascii=False)
    Bucket(settings().results_bucket).write(RunLayout(failure.run_id).failure, document.encode(), "application/json")
    if failure.error == "InvalidCensus":
        count(FilesRefused=1)
    client("sns").publish(
        TopicArn=settings().topic_arn, Subject=failure.subject[:100], Message=failure.message(settings())
    )
    raise named_error(failure.error, failure.cause)


def _first_error(error: dict[str, Any], execution_arn: str) -> dict[str, Any]:
    """Return the error of the shard that failed first, where the state machine knows only that shards failed."""
    if error.get("Error") != "States.ExceedToleratedFailureThreshold":
        return error
    try:
        return _error_of_first_shard(execution_arn) or error
    except (BotoCoreError, ClientError):
        # Whatever keeps it from being found must not take the first error's place.
        logger.exception("the failed shard's error can't be found")
        return error


def _error_of_first_shard(execution_arn: str) -> dict[str, Any] | None:
    states = client("stepfunctions")
    newest = sorted(states.list_map_runs(executionArn=execution_arn)["mapRuns"], key=itemgetter("startDate"))[-1]
    failed = states.list_executions(mapRunArn=newest["mapRunArn"], statusFilter="FAILED")["executions"]
    if not failed:
        return None
    shard = states.describe_execution(executionArn=min(failed, key=itemgetter("stopDate"))["executionArn"])
    return {"Error": shard["error"], "Cause": shard.get("cause", "")} if "error" in shard else None
