"""Record why a run failed, tell people, and end the execution with that very error.

It raises the first error itself: Step Functions re-enters a Fail state on a redrive and fails again, but it runs a
failed task again. Redriven, this task returns the phase at which the run goes on.
"""

import json
from typing import Any

from jobs.failure import Failure
from jobs.layout import RunLayout
from lambdas.errors import named_error
from lambdas.launching import redrives_of
from lambdas.runtime import client, count, entry_point, settings
from lambdas.storage import Bucket


@entry_point
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Write failure.json, notify and raise; or, redriven since, return the phase to resume at."""
    noted = event["failure"]
    if redrives_of(event["execution"]) > redrives_of(noted["execution"]):
        return {"phase": noted["phase"]}
    failure = Failure.of_event(event)
    document = json.dumps(failure.as_dict(), indent=2, ensure_ascii=False)
    Bucket(settings().results_bucket).write(RunLayout(failure.run_id).failure, document.encode(), "application/json")
    if failure.error == "InvalidCensus":
        count(FilesRefused=1)
    client("sns").publish(
        TopicArn=settings().topic_arn, Subject=failure.subject[:100], Message=failure.message(settings())
    )
    raise named_error(failure.error, failure.cause)
