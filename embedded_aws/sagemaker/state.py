"""What the embedded SageMaker remembers, per account and region, and how List calls page through it."""

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
    """Return the time in epoch seconds, to the millisecond as SageMaker tells it."""
    return round(time.time(), 3)


@dataclass(frozen=True)
class Scope:
    """An account and a region: where a request acts."""

    account: str
    region: str

    def arn(self, kind: str, name: str) -> str:
        """Return a resource's ARN; SageMaker spells names in ARNs in lower case."""
        return f"arn:aws:sagemaker:{self.region}:{self.account}:{kind}/{name.lower()}"


@dataclass
class Resource:
    """What all four kinds of resource have. `request` is the body that created it; times are epoch seconds."""

    name: str
    arn: str
    scope: Scope
    request: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)
    created: float = field(default_factory=now)
    modified: float = field(default_factory=now)
    status: str = ""

    def touch(self) -> None:
        """Note that the resource changed now."""
        self.modified = now()


@dataclass
class TrainingJob(Resource):
    """A training job and where it is in its life."""

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
    """An endpoint, its configuration's name, its variants, and the instances (type, number) that it occupies."""

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
        """Walk over all resources, of every kind."""
        return [*self.jobs.values(), *self.models.values(), *self.configs.values(), *self.endpoints.values()]


class State:
    """All accounts and regions. Touched only from the server's event loop, so it needs no lock."""

    def __init__(self) -> None:
        self._regions: defaultdict[Scope, Region] = defaultdict(Region)

    def region(self, scope: Scope) -> Region:
        """Return the resources of one account in one region."""
        return self._regions[scope]

    def all_resources(self) -> Iterable[Resource]:
        """Walk over the resources of every account and region."""
        for region in list(self._regions.values()):
            yield from region.resources()

    def clear(self) -> None:
        """Forget everything."""
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
    """Filter, sort and cut one page of a List call.

    A token names the last item that was returned, not a position: items deleted between two pages make none be
    skipped, which matters to whoever deletes what a list returns.

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
        # Step Functions and some clients write ISO 8601 where the wire has epoch seconds.
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
