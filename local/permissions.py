"""Prints which permissions of the stack's roles were used, unused or refused.

``python -m local.permissions`` runs the sample census through the whole stack and prints the report. If
directories are given, which :func:`embedded_aws.permissions.collect` wrote (the tests write them if
``EMBEDDED_AWS_RECORDS`` names a directory), it prints one report of all of them. The exit code is 1 if a request
was refused, or if a permission is granted, never used and has no documented reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from embedded_aws.permissions import DECISIONS, collect, compare, read, render
from local.synth import ROOT


def main(arguments: Sequence[str]) -> int:
    """Print the report for the given directories, or for a run of the sample census."""
    with tempfile.TemporaryDirectory() as own:
        if not arguments:
            _run_sample(Path(own))
        report = compare(*read(Path(each) for each in arguments or [own]), reasons())
    print(render(report))
    return 1 if report.unused or report.refused else 0


def reasons() -> dict[str, dict[str, str]]:
    """Return why the stack grants permissions that the embedded AWS does not use, as the stack documents it.

    It runs in a process of its own because ``local`` does not import ``infra``.
    """
    done = subprocess.run(
        [sys.executable, "-m", "infra.not_rehearsed"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


def _run_sample(into: Path) -> None:
    """Run the sample census in a temporary embedded AWS, and collect IAM's decisions."""
    from local import synthetic_census  # noqa: PLC0415 - imports NumPy, which printing a report does not need
    from local.follow import Follower  # noqa: PLC0415
    from local.session import Options, running  # noqa: PLC0415
    from local.steps import StepLog  # noqa: PLC0415

    with running(Options(), StepLog(lambda _: None)) as stack:
        csv = into / synthetic_census.FILE_NAME
        synthetic_census.write(csv)
        run = stack.execution_arn(stack.upload(csv))
        Follower(stack.client("stepfunctions"), run).watch(lambda _: None)
        name = stack.state_machine_arn.rsplit(":", 1)[-1]
        collect(stack.cloud.client, stack.cloud.directory / DECISIONS, name, into)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
