"""Tear down what one stage of a run left in SageMaker; asked again until nothing is pending."""

import re
from datetime import UTC, datetime
from typing import Any

from contract.names import RUN_TAG, resource_name
from contract.payloads import Remaining, TeardownEvent
from lambdas.support.errors import named_error
from lambdas.support.leftovers import find, remove, tags_of
from lambdas.support.runtime import count, entry_point, settings


@entry_point
def handler(event: TeardownEvent, _context: Any) -> Remaining:
    """Delete the stage's endpoint, config and model, stop its training job, and say what is still pending."""
    name = resource_name(settings().deployment_id, event["run_id"], event["stage"])
    # Not all that starts so: a re-run called "pca" has names that begin with those of the run it repeats.
    own = re.compile(rf"{re.escape(name)}(-\d+)?")
    found = [each for each in find(name) if own.fullmatch(each.name)]
    # A resource that someone else gave this name stays: the launch of ours failed with NameTaken.
    pending = [str(each) for each in remove([each for each in found if tags_of(each).get(RUN_TAG) == event["run_id"]])]
    waited = (datetime.now(UTC) - datetime.fromisoformat(event["started"])).total_seconds()
    if pending and waited > settings().teardown_timeout_seconds:
        count(TeardownTimeouts=1)
        raise named_error(
            "TeardownTimedOut",
            f"still there after {waited:.0f} s: {', '.join(pending)}; the janitor goes on every 15 minutes, "
            "or delete them by hand (docs/operations.md)",
        )
    return {"pending": pending}
