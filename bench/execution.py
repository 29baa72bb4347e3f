"""Runs one execution for a synthetic census, in a separate embedded AWS."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embedded_aws.cloud.deploy import deploy
from embedded_aws.cloud.instance import Cloud
from local import synthetic_census as sample
from local.follow import Follower, Snapshot
from local.stack import Stack
from local.synth import synth


@contextmanager
def execution(
    rows: int | None = None, settings: Mapping[str, Any] | None = None, **cloud_options: Any
) -> Iterator[tuple[Stack, Snapshot]]:
    """Run a census of `rows`, by default the 3,220 counties; yield the running stack and the ended execution.

    `settings` replace those of ``cdk.json``.

    Raises
    ------
    RuntimeError
        If the execution does not succeed.
    """
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        csv = home / sample.FILE_NAME
        sample.write(csv, rows=rows)
        assembly = synth(home / "cdk.out", {"segmentation": dict(settings or {})})
        with Cloud.start(home / "cloud", **cloud_options) as cloud:
            stack = Stack.of_outputs(cloud, deploy(cloud, assembly).values)
            follower = Follower(stack.client("stepfunctions"), stack.execution_arn(stack.upload(csv)))
            run = follower.watch(lambda _: None)
            if run.status != "SUCCEEDED":
                raise RuntimeError(f"the execution ended {run.status}: {run.error}: {run.cause}")
            yield stack, run
