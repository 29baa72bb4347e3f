"""Deletes a stack's SageMaker resources, found by name."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.support.errors import NOT_FOUND, code_of, message_of
from lambdas.support.runtime import client, logger, settings


@dataclass(frozen=True)
class Kind:
    """The names that the SageMaker API uses for one kind of resource.

    Attributes
    ----------
    noun
        The prefix of its fields, such as ``EndpointName``, ``EndpointArn`` and ``EndpointStatus``.
    filters
        The parameters of the list operation; each element makes one listing.
    """

    noun: str
    list_operation: str
    list_key: str
    remove_operation: str
    filters: tuple[dict[str, str], ...] = ({},)


ENDPOINT = Kind("Endpoint", "list_endpoints", "Endpoints", "delete_endpoint")
TRAINING_JOB = Kind(
    "TrainingJob",
    "list_training_jobs",
    "TrainingJobSummaries",
    "stop_training_job",
    # Finished jobs cost nothing and are kept as the record of what was trained.
    ({"StatusEquals": "InProgress"}, {"StatusEquals": "Stopping"}),
)
CONFIG = Kind("EndpointConfig", "list_endpoint_configs", "EndpointConfigs", "delete_endpoint_config")
MODEL = Kind("Model", "list_models", "Models", "delete_model")

KINDS = (TRAINING_JOB, ENDPOINT, CONFIG, MODEL)

# DeleteEndpoint fails with ValidationException while an endpoint has one of these statuses.
_BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack")


@dataclass(frozen=True)
class Resource:
    """A SageMaker resource; `status` is empty for models and endpoint configs, which have none."""

    kind: Kind
    name: str
    arn: str
    status: str

    def __str__(self) -> str:
        return f"{self.kind.noun} {self.name}" + (f" ({self.status})" if self.status else "")


def find(prefix: str) -> list[Resource]:
    """Return the unfinished training jobs, and the hosting resources if models are hosted, with a name prefix."""
    kinds = KINDS if settings().hosts_models else (TRAINING_JOB,)
    return [each for kind in kinds for each in _list(kind, prefix) if each.name.startswith(prefix)]


def remove(resources: list[Resource]) -> list[Resource]:
    """Delete or stop the resources; return those that still exist and need another call.

    An endpoint cannot be deleted while it is being created. If its config or its model is deleted meanwhile, it stays
    in ``Creating`` for an hour, so both are kept. Lists may not show a new endpoint yet, so DescribeEndpoint decides.

    A resource that does not exist counts as deleted. A resource that cannot be deleted does not stop the deletion of
    the others; its error is raised at the end.
    """
    resources = [*_unlisted_endpoints(resources), *resources]
    busy = any(each.kind is ENDPOINT and each.status in _BUSY for each in resources)
    pending: list[Resource] = []
    refusals: list[Exception] = []
    for each in resources:
        waits = each.kind in (CONFIG, MODEL) if busy else False
        settling = each.status in (*_BUSY, "Deleting", "Stopping")
        if not waits and not settling:
            try:
                _remove(each)
            except (BotoCoreError, ClientError) as error:
                refusals.append(error)
        if waits or each.kind in (ENDPOINT, TRAINING_JOB):
            pending.append(each)
    if refusals:
        raise refusals[0]
    return pending


def tags_of(resource: Resource) -> dict[str, str]:
    """Return the tags of a resource, or an empty dict if it has been deleted since it was listed."""
    try:
        found = client("sagemaker").list_tags(ResourceArn=resource.arn)["Tags"]
    except ClientError as error:
        if code_of(error) in NOT_FOUND:
            return {}
        raise
    return {tag["Key"]: tag["Value"] for tag in found}


def _unlisted_endpoints(resources: list[Resource]) -> list[Resource]:
    """Return the endpoints of the configs and models among `resources` that exist but were not listed."""
    endpoints = {each.name for each in resources if each.kind is ENDPOINT}
    # An endpoint has the name of its config. The name of its model is the beginning of both.
    names = {each.name for each in resources if each.kind is CONFIG}
    for each in resources:
        if each.kind is MODEL and not any(name.startswith(each.name) for name in endpoints | names):
            attempts = range(2, len(settings().hosting_instance_types) + 1)
            names |= {each.name, *(f"{each.name}-{number}" for number in attempts)}
    described = (_describe_endpoint(name) for name in sorted(names - endpoints))
    return [each for each in described if each is not None]


def _describe_endpoint(name: str) -> Resource | None:
    try:
        return _resource(ENDPOINT, client("sagemaker").describe_endpoint(EndpointName=name))
    except ClientError as error:
        if code_of(error) not in NOT_FOUND:
            raise
        return None


def _list(kind: Kind, prefix: str) -> Iterator[Resource]:
    for only in kind.filters:
        pages = client("sagemaker").get_paginator(kind.list_operation).paginate(NameContains=prefix, **only)
        for page in pages:
            yield from (_resource(kind, summary) for summary in page[kind.list_key])


def _resource(kind: Kind, summary: dict[str, Any]) -> Resource:
    name, arn, status = (summary.get(f"{kind.noun}{field}", "") for field in ("Name", "Arn", "Status"))
    return Resource(kind, name, arn, status)


def _remove(resource: Resource) -> None:
    operation = getattr(client("sagemaker"), resource.kind.remove_operation)
    try:
        operation(**{f"{resource.kind.noun}Name": resource.name})
        logger.info("removed", resource=str(resource))
    except ClientError as error:
        # The resource was deleted or became busy after it was listed; the next listing shows which.
        if code_of(error) not in NOT_FOUND:
            raise
        logger.info("not removed", resource=str(resource), reason=message_of(error))
