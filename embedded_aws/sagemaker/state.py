"""The embedded SageMaker's resources per account and region, and the paging of List calls."""

from __future__ import annotations

import base64
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from embedded_aws.sagemaker.errors import validation

_DEFAULT_PAGE = 10


def now() -> float:
    """Return the time in epoch seconds, rounded to milliseconds as in SageMaker's responses."""
    return round(time.time(), 3)


@dataclass(frozen=True)
class Scope:
    """The account and region of a request."""

    account: str
    region: str

    def arn(self, kind: str, name: str) -> str:
        """Return a resource's ARN, in which SageMaker writes the name in lower case."""
        return f"arn:aws:sagemaker:{self.region}:{self.account}:{kind}/{name.lower()}"


@dataclass
class Resource:
    """The fields of all four kinds of resources. `request` is the body of the Create call; times are epoch seconds."""

    name: str
    arn: str
    scope: Scope
    request: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)
    created: float = field(default_factory=now)
    modified: float = field(default_factory=now)
    status: str = ""

    def touch(self) -> None:
        """Set the time of the last modification to now."""
        self.modified = now()


@dataclass
class TrainingJob(Resource):
    """A training job and its progress."""

    algorithm: str = ""
    secondary: str = ""
    transitions: list[dict[str, Any]] = field(default_factory=list)
    started: float | None = None
    ended: float | None = None
    failure: str = ""
    artifacts: str = ""
    metrics: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Variant:
    """A production variant of a running endpoint."""

    name: str
    model: str
    algorithm: str
    image: str
    weight: float
    desired_weight: float
    count: int
    desired_count: int
    resolved: float = field(default_factory=now)


@dataclass
class Endpoint(Resource):
    """An endpoint: the name of its configuration, its variants, and the instances (type, number) that it uses."""

    config: str = ""
    failure: str = ""
    variants: list[Variant] = field(default_factory=list)
    instances: list[tuple[str, int]] = field(default_factory=list)


@dataclass
class Region:
    """Every resource of one account in one region, by name."""

    jobs: dict[str, TrainingJob] = field(default_factory=dict)
    models: dict[str, Resource] = field(default_factory=dict)
    configs: dict[str, Resource] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)

    def resources(self) -> Iterable[Resource]:
        """Return all resources of every kind."""
        return [*self.jobs.values(), *self.models.values(), *self.configs.values(), *self.endpoints.values()]


class State:
    """The resources of all accounts and regions. Used only in the server's event loop, so it needs no lock."""

    def __init__(self) -> None:
        self._regions: defaultdict[Scope, Region] = defaultdict(Region)

    def region(self, scope: Scope) -> Region:
        """Return the resources of one account in one region."""
        return self._regions[scope]

    def all_resources(self) -> Iterable[Resource]:
        """Yield the resources of every account and region."""
        for region in list(self._regions.values()):
            yield from region.resources()

    def clear(self) -> None:
        """Delete all resources."""
        self._regions.clear()


class _Named(Protocol):
    name: str
    created: float
    modified: float
    status: str


T = TypeVar("T", bound=_Named)


_SORT_KEYS: dict[str, Callable[[_Named], Any]] = {
    "Name": lambda item: item.name,
    "CreationTime": lambda item: item.created,
    "LastModifiedTime": lambda item: item.modified,
    "Status": lambda item: item.status,
}


def page(
    items: Iterable[T], params: dict[str, Any], *, default_order: str = "Descending"
) -> tuple[list[T], str | None]:
    """Filter and sort resources, and return one page of a List call.

    A token contains the last item that was returned, not a position, so that no item is skipped if items are deleted
    between two pages.

    Parameters
    ----------
    items
        Resources of one kind.
    params
        The request: NameContains, StatusEquals, the four time filters, SortBy, SortOrder, MaxResults, NextToken.
    default_order
        SortOrder when the request gives none; it differs between the operations.

    Returns
    -------
    tuple
        The page, and the token of the next one or None.
    """
    key = _SORT_KEYS[params.get("SortBy", "CreationTime")]
    descending = params.get("SortOrder", default_order) == "Descending"
    found = sorted(
        (item for item in items if _matches(item, params)),
        key=lambda item: (key(item), item.name),
        reverse=descending,
    )
    if token := params.get("NextToken"):
        last = _read_token(token)
        found = [item for item in found if _is_after([key(item), item.name], last, descending)]
    size = params.get("MaxResults", _DEFAULT_PAGE)
    following = found[size:]
    found = found[:size]
    if not following:
        return found, None
    return found, _write_token([key(found[-1]), found[-1].name])


def _matches(item: _Named, params: dict[str, Any]) -> bool:
    return (
        params.get("NameContains", "") in item.name
        and params.get("StatusEquals", item.status) == item.status
        and item.created >= _time(params.get("CreationTimeAfter"), 0)
        and item.created <= _time(params.get("CreationTimeBefore"), float("inf"))
        and item.modified >= _time(params.get("LastModifiedTimeAfter"), 0)
        and item.modified <= _time(params.get("LastModifiedTimeBefore"), float("inf"))
    )


def _time(value: float | str | None, default: float) -> float:
    if value is None:
        return default
    if isinstance(value, str):
        # Step Functions and some clients send times in ISO 8601 instead of epoch seconds.
        try:
            return datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
        except ValueError:
            raise validation(f"Invalid timestamp: {value}") from None
    return float(value)


def _is_after(item: list[Any], last: list[Any], descending: bool) -> bool:
    try:
        return item < last if descending else item > last
    except TypeError:
        raise validation("Invalid pagination token") from None


def _write_token(last: list[Any]) -> str:
    return base64.b64encode(json.dumps(last).encode()).decode()


def _read_token(token: str) -> list[Any]:
    try:
        last = json.loads(base64.b64decode(token, validate=True))
    except ValueError:
        last = None
    if not isinstance(last, list) or len(last) != 2:
        raise validation("Invalid pagination token")
    return last
