"""Deletes the SageMaker resources of one stage of a run.

The state machine invokes the function again until nothing is pending.
"""

import re
import time
from datetime import UTC, datetime
from typing import Any

from contract.names import RUN_TAG, resource_name
from contract.payloads import Remaining, TeardownEvent
from lambdas.support.errors import named_error
from lambdas.support.leftovers import find, remove, tags_of
from lambdas.support.runtime import count, entry_point, settings

_LISTED_AFTER_SECONDS = 2


@entry_point
def handler(event: TeardownEvent, _context: Any) -> Remaining:
    """Delete the stage's endpoint, config and model, stop its training job, and return what is still pending."""
    name = resource_name(settings().deployment_id, event["run_id"], event["stage"])
    waited = _seconds_since(event["started"])
    if event["failed"] and waited < _LISTED_AFTER_SECONDS:
        # SageMaker's lists are eventually consistent: they may not show what was created just before the failure.
        time.sleep(_LISTED_AFTER_SECONDS - waited)
    # A name prefix is not enough: the names of a re-run with the suffix "pca" start with those of the run that it
    # repeats.
    own = re.compile(rf"{re.escape(name)}(-\d+)?")
    found = [each for each in find(name) if own.fullmatch(each.name)]
    # A resource with this name but another owner is kept; because of it, this run's launch failed with NameTaken.
    pending = [str(each) for each in remove([each for each in found if tags_of(each).get(RUN_TAG) == event["run_id"]])]
    if pending and waited > settings().teardown_timeout_seconds:
        count(TeardownTimeouts=1)
        raise named_error(
            "TeardownTimedOut",
            f"still there after {waited:.0f} s: {', '.join(pending)}; the janitor goes on every 15 minutes, "
            "or delete them by hand (docs/operations.md)",
        )
    return {"pending": pending}


def _seconds_since(moment: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
