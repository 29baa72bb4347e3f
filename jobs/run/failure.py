"""A failed run: the content of failure.json, and the notification about it."""

import json
from typing import TypedDict

from contract.errors import kind_of
from contract.layout import RunLayout
from contract.payloads import RecordFailureEvent, StateError
from contract.run_settings import RunSettings
from jobs.run.notification import Notification


class Failure(TypedDict):
    """The content of failure.json.

    `phase` is the phase of the state machine that failed; `error` and `cause` are the name and the message of the
    first error; `cleanup` says what went wrong while cleaning up after it, or is None if everything was removed.
    """

    run_id: str
    input_uri: str
    version_id: str | None
    phase: str
    error: str
    cause: str
    cleanup: str | None
    execution: str


def describe_failure(event: RecordFailureEvent, error: StateError) -> Failure:
    """Describe a failure by what the state machine recorded of it.

    Parameters
    ----------
    event
        What the state machine recorded: the phase and, if cleaning up failed too, the error of the clean-up.
    error
        The first error.
    """
    recorded, source = event["failure"], event["input"]
    cleanup = recorded.get("cleanup")
    return Failure(
        run_id=event["run_id"],
        input_uri=f"s3://{source['bucket']}/{source['key']}",
        version_id=source["version_id"],
        phase=recorded["phase"],
        error=error["Error"],
        cause=_message_of(error.get("Cause", "")),
        cleanup=f"{cleanup['Error']}: {_message_of(cleanup.get('Cause', ''))}" if cleanup else None,
        execution=event["execution"]["Id"],
    )


def notify(failure: Failure, settings: RunSettings) -> Notification:
    """Compose the notification: what failed, what that means for the CSV, and what to do."""
    kind = kind_of(failure["error"])
    files, results = RunLayout(failure["run_id"]), f"s3://{settings.results_bucket}/"
    if failure["error"] == "InvalidCensus":
        headline = f"{failure['input_uri']} was refused."
        details = f"All problems are listed in {results}{files.problems}."
    else:
        headline = f"The run of {failure['input_uri']} failed in {failure['phase']}."
        details = (
            f"Details are in {results}{files.failure}. To redrive the execution: "
            f"aws stepfunctions redrive-execution --execution-arn {failure['execution']}"
        )
    if failure["cleanup"] is None:
        state = "The file is unchanged, and nothing was left running."
    else:
        state = f"The file is unchanged, but cleaning up failed: {failure['cleanup']}. The janitor will try again."
    return Notification.of(
        f"Census run {failure['run_id']}: {failure['error']} in {failure['phase']}",
        [headline, f"{failure['error']}: {failure['cause']}", "", kind.meaning, kind.remedy, "", state, details],
    )


def _message_of(cause: str) -> str:
    """Return the message of a Lambda function's error, which Step Functions wraps in JSON; any other cause as it is."""
    try:
        parsed = json.loads(cause)
    except ValueError:
        return cause
    return str(parsed.get("errorMessage", cause)) if isinstance(parsed, dict) else cause
