"""Sends the synthetic census through a deployed stack: ``check.py OUTPUTS``, the file that ``cdk deploy`` writes.

Ends with exit code 1 unless the run succeeds.
"""

import json
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3

from contract.layout import INCOMING_PREFIX, run_id
from local.synthetic_census import write

KEY = f"{INCOMING_PREFIX}pipeline/census.csv"
"""Has a folder of its own, so that a check is compared with the check before it and with nothing else."""
LIMIT_SECONDS = 3_300
"""Less than the hour for which the credentials are valid."""


def start_run(s3: Any, bucket: str, csv: bytes) -> str:
    """Upload a CSV and return the id of the run that it starts, which is the name of the execution."""
    version = s3.put_object(Bucket=bucket, Key=KEY, Body=csv)["VersionId"]
    return run_id(bucket, KEY, version)


def wait_for_end(states: Any, execution_arn: str, *, poll_seconds: float = 15) -> str:
    """Return the status with which an execution ended; ``RUNNING`` if it has not ended in time.

    Until the upload's event has been processed, the execution does not exist.
    """
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        with suppress(states.exceptions.ExecutionDoesNotExist):
            status = str(states.describe_execution(executionArn=execution_arn)["status"])
            if status != "RUNNING":
                return status
        time.sleep(poll_seconds)
    return "RUNNING"


def main() -> None:
    """Check the stack whose outputs the file has."""
    (outputs,) = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")).values()
    with tempfile.TemporaryDirectory() as folder:
        csv = Path(folder) / "census.csv"
        write(csv)
        name = start_run(boto3.client("s3"), outputs["IncomingBucket"], csv.read_bytes())
    print(f"waiting for the run {name}", flush=True)
    execution = f"{outputs['StateMachineArn'].replace(':stateMachine:', ':execution:')}:{name}"
    status = wait_for_end(boto3.client("stepfunctions"), execution)
    if status != "SUCCEEDED":
        sys.exit(f"after at most {LIMIT_SECONDS // 60} minutes, the run {name} is {status}; see {execution}")
    print(f"the run {name} succeeded")


if __name__ == "__main__":
    main()
