"""Record why a run failed, notify subscribers, and end the execution with the error that came first.

The handler raises that error itself instead of leaving it to a Fail state: after a redrive, Step Functions would enter
the Fail state again and fail again, but it runs a failed task again. The task then returns the phase at which the run
resumes.
"""

import json
from operator import itemgetter
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from contract.layout import RunLayout
from contract.payloads import RecordFailureEvent, Resumption, StateError
from jobs.run.failure import describe_failure, notify
from lambdas.support.errors import named_error
from lambdas.support.launching import redrives_of
from lambdas.support.runtime import client, count, entry_point, logger, settings
from lambdas.support.storage import Bucket


@entry_point
def handler(event: RecordFailureEvent, _context: Any) -> Resumption:
    """Write failure.json, notify, and raise the first error; after a redrive, return the phase to resume at."""
    recorded = event["failure"]
    if redrives_of(event["execution"]) > redrives_of(recorded["execution"]):
        return {"phase": recorded["phase"]}
    failure = describe_failure(event, _first_error(recorded["error"], event["execution"]["Id"]))
    document = json.dumps(failure, indent=2, ensure_ascii=False)
    results = Bucket(settings().results_bucket)
    results.write(RunLayout(failure["run_id"]).failure, document.encode(), "application/json")
    if failure["error"] == "InvalidCensus":
        count(FilesRefused=1)
    notification = notify(failure, settings())
    client("sns").publish(TopicArn=settings().topic_arn, Subject=notification.subject, Message=notification.message)
    raise named_error(failure["error"], failure["cause"])


def _first_error(error: StateError, execution_arn: str) -> StateError:
    """Return the error of the shard that failed first if the state machine only knows that shards failed."""
    if error.get("Error") != "States.ExceedToleratedFailureThreshold":
        return error
    try:
        return _error_of_first_shard(execution_arn) or error
    except (BotoCoreError, ClientError):
        # A failed search must not replace the first error.
        logger.exception("cannot find the error of the failed shard")
        return error


def _error_of_first_shard(execution_arn: str) -> StateError | None:
    states = client("stepfunctions")
    newest = sorted(states.list_map_runs(executionArn=execution_arn)["mapRuns"], key=itemgetter("startDate"))[-1]
    failed = states.list_executions(mapRunArn=newest["mapRunArn"], statusFilter="FAILED")["executions"]
    if not failed:
        return None
    shard = states.describe_execution(executionArn=min(failed, key=itemgetter("stopDate"))["executionArn"])
    return {"Error": shard["error"], "Cause": shard.get("cause", "")} if "error" in shard else None
