"""The reasons for permissions that a rehearsal does not use: ``python -m infra.not_rehearsed`` prints them as JSON.

Role (a function's module, ``state machine``, ``sagemaker``, or ``*`` for all) -> action -> reason.
"""

import json
from collections import defaultdict

from infra import grants, sagemaker_role


def reasons() -> dict[str, dict[str, str]]:
    """Return the reasons by role and action."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for (function, action), reason in grants.NOT_REHEARSED.items():
        found[function][action] = reason
    for action, reason in grants.STATE_MACHINE_NOT_REHEARSED.items():
        found["state machine"][action] = reason
    for action, (reason, source) in sagemaker_role.NOT_REHEARSED.items():
        found["sagemaker"][action] = f"{reason} {source}"
    return dict(found)


if __name__ == "__main__":
    print(json.dumps(reasons(), indent=2))
