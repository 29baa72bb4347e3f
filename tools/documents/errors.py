"""Generates docs/errors.md: every error with which a run can end."""

from collections.abc import Mapping
from typing import Any

from contract.errors import ERRORS, OTHER
from infra.definition import all_states, state_machine_definition
from tools.documents.tables import code, table

_HEAD = """# Errors of a run

`make docs` writes this page from `contract/errors.py`; the retries are those of the synthesized state machine.

A run that fails ends with its first error, after both models have been torn down. The error is in the execution, in
`failure.json` and in the notification. To redrive is to continue the run at the phase that failed:

```
aws stepfunctions redrive-execution --execution-arn <arn>
```

[Operations](operations.md) describes this and what to do when a run was aborted, timed out or did not start.

"""


def render(template: Mapping[str, Any]) -> str:
    """Return the page."""
    retries = _retries(state_machine_definition(template))
    rows = [
        [code(kind.names) or "any other name", kind.meaning, _retried(kind.names, retries), kind.remedy]
        for kind in (*ERRORS, OTHER)
    ]
    return _HEAD + table(["Error", "What happened", "Retried before", "What to do"], rows)


def _retried(names: tuple[str, ...], retries: Mapping[str, set[int]]) -> str:
    counts = {count for name in names for count in retries.get(name, ())}
    return f"up to {max(counts)} times" if counts else "no"


def _retries(definition: Mapping[str, Any]) -> dict[str, set[int]]:
    """Return for each error how often states repeat what failed with it."""
    found: dict[str, set[int]] = {}
    for state in all_states(definition).values():
        for retry in state.get("Retry", ()):
            for error in retry["ErrorEquals"]:
                found.setdefault(error, set()).add(retry["MaxAttempts"])
    return found
