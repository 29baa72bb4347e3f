"""Launches training jobs and endpoints idempotently, trying instance types until one is available.

The name of a resource is derived from the run, so a repeated call finds what an earlier call created. SageMaker does
not allow the name of a training job to be used again. Each further attempt, with another instance type or after a
redrive, therefore has the next number at the end of its name.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

from botocore.exceptions import ClientError

from contract.names import CAPACITY_MESSAGES, QUOTA_FULL, RUN_TAG, Stage, resource_name
from contract.payloads import Execution, Launched
from contract.run_settings import RunSettings
from lambdas.support.errors import code_of, message_of, named_error
from lambdas.support.runtime import client, logger

_VISIBLE_AFTER_SECONDS = (0.5, 1, 2, 4)
# The end of SageMaker's message about a quota, as quoted in amazon-sagemaker-examples#593.
_QUOTA = re.compile(r"is (\d+) Instances, with current utilization of \d+ Instances and a request delta of (\d+)")


@dataclass(frozen=True)
class Attempt:
    """A training job or endpoint that an earlier call launched."""

    instance_type: str
    status: str
    failure_reason: str

    @property
    def failed(self) -> bool:
        """Whether the attempt ended without a result."""
        return self.status in ("Failed", "Stopped")

    @property
    def out_of_capacity(self) -> bool:
        """Whether it failed because there was no instance of its type."""
        return self.failed and any(message in self.failure_reason for message in CAPACITY_MESSAGES)


class Launcher(Protocol):
    """Launches one kind of resource."""

    instance_types: list[str]

    def find(self, name: str) -> Attempt | None:
        """Return the run's attempt with this name, if there is one.

        Raises
        ------
        NameTaken
            If the resource with this name does not belong to the run.
        """

    def create(self, name: str, instance_type: str) -> None:
        """Launch an attempt."""


def launch(launcher: Launcher, settings: RunSettings, stage: Stage, run_id: str, redrives: int) -> Launched:
    """Launch a resource, or return the one that an earlier call launched.

    Parameters
    ----------
    redrives
        How often the execution was redriven: each redrive allows one more attempt after a failed one.

    Returns
    -------
    Launched
        The attempt that is in progress, has finished, or has failed for good.

    Raises
    ------
    QuotaFull
        If none of the instance types can be launched now, but one of them can once others have ended.
    ResourceLimitExceeded
        If the account's quotas allow none of the instance types, or the region offers none of them.
    InsufficientCapacity
        If AWS has no capacity for any of them.
    """
    wanted = list(launcher.instance_types)
    refusal = named_error("InsufficientCapacity", f"no capacity for any of {', '.join(wanted)}")
    failures, full = 0, False
    for number in count(1):
        name = resource_name(settings.deployment_id, run_id, stage, number)
        attempt = launcher.find(name)
        if attempt is None:
            try:
                launcher.create(name, wanted[0])
            except ClientError as error:
                if not _refuses_type(error):
                    raise
                full = full or _has_room_later(error)
                name_of_refusal = QUOTA_FULL if full else "ResourceLimitExceeded"
                refusal = named_error(name_of_refusal, f"{wanted[0]}: {message_of(error)}")
            else:
                logger.info("launched", resource=name, instance_type=wanted[0])
                return {"name": name, "instance_type": wanted[0]}
        else:
            if not attempt.failed:
                return {"name": name, "instance_type": attempt.instance_type}
            if not attempt.out_of_capacity:
                if failures == redrives:
                    return {"name": name, "instance_type": attempt.instance_type}
                failures += 1
                continue
        wanted = wanted[1:]
        if not wanted and failures < redrives:
            failures, wanted = failures + 1, list(launcher.instance_types)
        if not wanted:
            raise refusal
    raise AssertionError("count() never ends")


def _refuses_type(error: ClientError) -> bool:
    """Return whether the account or the region does not have the instance type; SageMaker says so in two ways."""
    unsupported = "unsupported instance type" in message_of(error).lower()
    return code_of(error) == "ResourceLimitExceeded" or (code_of(error) == "ValidationException" and unsupported)


def _has_room_later(error: ClientError) -> bool:
    """Return whether a quota is in use that would be large enough for the request."""
    if (quota := _QUOTA.search(message_of(error))) is None:
        return False
    limit, wanted = map(int, quota.groups())
    return wanted <= limit


def once_visible(call: Callable[..., Any], **body: Any) -> Any:
    """Call an operation on a resource that was created a moment ago, until SageMaker finds that resource.

    SageMaker is eventually consistent: the API reference of CreateEndpoint recommends to retry.
    """
    for seconds in _VISIBLE_AFTER_SECONDS:
        try:
            return call(**body)
        except ClientError as error:
            if "Could not find" not in message_of(error):
                raise
            logger.info("not visible yet", reason=message_of(error))
        time.sleep(seconds)
    return call(**body)


def redrives_of(execution: Execution) -> int:
    """Return how often an execution was redriven, from the context object's ``$$.Execution``."""
    return int(execution.get("RedriveCount", 0))


def check_ours(arn: str, run_id: str) -> None:
    """Check that an existing resource belongs to the run that needs its name.

    Raises
    ------
    NameTaken
        If the resource has the tag of another run or no run tag.
    """
    tags = client("sagemaker").list_tags(ResourceArn=arn)["Tags"]
    if {"Key": RUN_TAG, "Value": run_id} not in tags:
        raise named_error("NameTaken", f"{arn} exists but isn't of run {run_id}; delete or rename it, then redrive")
