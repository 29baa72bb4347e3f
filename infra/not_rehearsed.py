"""Tell, as JSON on standard output, why roles are granted what a rehearsal doesn't use: role -> action -> reason."""

import json
import sys

from infra import grants, sagemaker_role, workflow


def main() -> None:
    """Gather the reasons that stand beside the grants."""
    reasons: dict[str, dict[str, str]] = {
        "sagemaker": {action: f"{why} {page}" for action, (why, page) in sagemaker_role.NOT_REHEARSED.items()},
        "state machine": dict(workflow.NOT_REHEARSED),
    }
    for (name, action), why in grants.NOT_REHEARSED.items():
        reasons.setdefault(name, {})[action] = why
    json.dump(reasons, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
