"""Faults to inject into the embedded AWS, each specified in one line.

A fault reads `Target[@name]:fault[=value][*times]`, for example `CreateEndpoint@kmeans:throttle*3`. The target is an
operation (`CreateTrainingJob`), an operation of S3 (`s3.PutObject`), the life of a resource (`TrainingJob`,
`Endpoint`), a function's process (`lambda.prepare`), or a state of a state machine (`State.Publish`). `@name` limits it
to resources whose name (S3: `bucket/key`) contains the text, in which `*` matches any text. With `*times`, the fault
takes effect that many times; by default, without limit.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

_SPEC = re.compile(
    r"(?P<target>[A-Za-z0-9]+(\.[A-Za-z0-9_-]+)?)(@(?P<match>[^:]+))?"
    r":(?P<kind>[a-z_0-9]+)(=(?P<value>.*?))?(\*(?P<times>\d+))?"
)

# The kinds of faults of each type of target, and whether a kind takes a value: never, always or optionally.
_NO, _YES, _MAY = "no", "yes", "may"
OPERATION_FAULTS = {
    "throttle": _NO,  # ThrottlingException
    "error": _NO,  # InternalFailure, 500
    "unavailable": _NO,  # ServiceUnavailable, 503
    "denied": _NO,  # AccessDeniedException
    "invalid": _MAY,  # ValidationException with the value as its message
    "limit": _NO,  # ResourceLimitExceeded for any instance type
    "in_use": _NO,  # ResourceLimitExceeded because another resource uses the only instance of the quota
    "quota": _YES,  # ResourceLimitExceeded if the request is for this instance type
    "unsupported": _YES,  # ValidationException "Unsupported instance type" if the request is for this type
    "reset": _NO,  # the connection breaks before the operation is done
    "lost": _NO,  # the operation is done, then the connection breaks before the response
    "slow": _YES,  # seconds before the operation is done
}
INVOCATION_FAULTS = {"model_error": _MAY, "not_ready": _NO}  # ModelError 424, ModelNotReadyException 429
S3_FAULTS = {"slowdown": _NO, "error": _NO, "denied": _NO, "reset": _NO, "lost": _NO, "slow": _YES}
LIFE_FAULTS = {
    "failed": _MAY,  # ends Failed, with the value as its reason
    "capacity": _MAY,  # ends Failed for lack of capacity; with a value, of that instance type only
    "stuck": _NO,  # stays InProgress or Creating while the fault is in force
    "stuck_deleting": _NO,  # an endpoint stays Deleting while the fault is in force
    "slow": _YES,  # takes this many seconds longer
    "unlisted": _YES,  # seconds after its creation for which List calls omit an endpoint; Describe calls return it
    "quota": _YES,  # ResourceLimitExceeded above this number of instances, of one type (ml.m5.large/2) or of any (2)
}
SERVICE_FAULTS = {
    "lag": _YES,  # seconds for which operations do not find a new resource
    "not_found": _YES,  # the code of the error for a missing resource: ValidationException or ResourceNotFound
}
STATE_FAULTS = {"slow": _YES}  # seconds for which an execution is delayed in the state
FUNCTION_FAULTS = {"kill": _MAY, "timeout": _MAY, "oom": _MAY}  # after this number of calls to AWS
LIVES = ("TrainingJob", "Endpoint")
SERVICE = "SageMaker"
_VALUES = {
    "slow": (r"\d+(\.\d+)?", "a number of seconds"),
    "lag": (r"\d+(\.\d+)?", "a number of seconds"),
    "unlisted": (r"\d+(\.\d+)?", "a number of seconds"),
    "not_found": ("ValidationException|ResourceNotFound", "ValidationException or ResourceNotFound"),
}

_BY_TYPE = ("quota", "unsupported", "capacity")
_LIFTED_POLL_SECONDS = 0.2
_EXAMPLES = "CreateEndpoint:throttle*3, CreateTrainingJob@pca:quota=ml.c4.xlarge, s3.PutObject:slowdown*2"


class FaultSpecError(ValueError):
    """The specification of a fault is invalid; the message says what is allowed."""


@dataclass
class Fault:
    """One fault. `left` is how many more times it takes effect, or None if there is no limit."""

    target: str
    kind: str
    match: str = ""
    value: str = ""
    left: int | None = None
    struck: int = 0

    def is_for(self, name: str) -> bool:
        """Return whether the fault applies to a resource of this name."""
        return fnmatchcase(name, f"*{self.match}*")

    def is_same_as(self, other: Fault) -> bool:
        """Return whether both faults have the same effect on the same resources, regardless of `times`."""
        return (self.target, self.kind, self.match, self.value) == (other.target, other.kind, other.match, other.value)

    @property
    def seconds(self) -> float:
        """The value as seconds, for `slow`."""
        return float(self.value)

    def to_json(self) -> dict[str, object]:
        """Return the fault as the control route reports it."""
        return {
            "target": self.target,
            "match": self.match,
            "fault": self.kind,
            "value": self.value,
            "left": self.left,
            "struck": self.struck,
        }


def parse(spec: str, operations: Iterable[str]) -> Fault:
    """Read one fault.

    Parameters
    ----------
    spec
        `Target[@name]:fault[=value][*times]`.
    operations
        Names of the SageMaker operations that exist.

    Raises
    ------
    FaultSpecError
        If the spec is malformed, or its target or kind does not exist.
    """
    found = _SPEC.fullmatch(spec.strip())
    if not found:
        raise FaultSpecError(
            f"fault {spec!r} is not understood: write Target[@name]:fault[=value][*times], such as {_EXAMPLES}"
        )
    target, kind = found["target"], found["kind"]
    value = found["value"] or ""
    allowed = _faults_of(target, set(operations), spec)
    if kind not in allowed:
        raise FaultSpecError(f"fault {spec!r}: {target} can't have {kind!r}; it can have {', '.join(sorted(allowed))}")
    if allowed[kind] == _YES and not value:
        raise FaultSpecError(f"fault {spec!r}: {kind!r} needs a value, such as {kind}=…")
    if allowed[kind] == _NO and value:
        raise FaultSpecError(f"fault {spec!r}: {kind!r} takes no value")
    if target.startswith("lambda.") and value and not re.fullmatch(r"[1-9]\d*", value):
        raise FaultSpecError(f"fault {spec!r}: {kind}={value!r} is not a number of calls from 1 up")
    pattern, meaning = _VALUES.get(kind, (".*", ""))
    if target in LIVES and kind == "quota":
        pattern, meaning = r"(ml\.[a-z0-9.]+/)?\d+", "a number of instances, or an instance type, a slash and a number"
    if not re.fullmatch(pattern, value):
        raise FaultSpecError(f"fault {spec!r}: {kind}={value!r} is not {meaning}")
    times = found["times"]
    return Fault(target, kind, found["match"] or "", value, int(times) if times else None)


def _faults_of(target: str, operations: set[str], spec: str) -> dict[str, str]:
    by_name = {SERVICE: SERVICE_FAULTS, "InvokeEndpoint": OPERATION_FAULTS | INVOCATION_FAULTS}
    by_name |= dict.fromkeys(LIVES, LIFE_FAULTS)
    by_prefix = {"s3": S3_FAULTS, "lambda": FUNCTION_FAULTS, "State": STATE_FAULTS}
    prefix, dot, _ = target.partition(".")
    if found := by_name.get(target) or (by_prefix.get(prefix) if dot else None):
        return found
    if target in operations:
        return OPERATION_FAULTS
    known = ", ".join([*sorted(operations), *LIVES, SERVICE])
    raise FaultSpecError(
        f"fault {spec!r}: there is no {target!r}; there are {known}, s3.<operation>, lambda.<function> and State.<name>"
    )


class Faults:
    """The faults in force; `operations` names the SageMaker operations that exist."""

    def __init__(self, operations: Iterable[str]) -> None:
        self.operations = list(operations)
        self._faults: list[Fault] = []

    def replace(self, specs: Iterable[str]) -> None:
        """Replace the faults in force; if one is invalid, change nothing."""
        self._faults = [parse(spec, self.operations) for spec in specs]

    def add(self, specs: Iterable[str]) -> None:
        """Add to the faults in force; if one is invalid, change nothing."""
        self._faults += [parse(spec, self.operations) for spec in specs]

    def remove(self, specs: Iterable[str]) -> None:
        """Remove these faults, regardless of their number of strikes; if one is invalid, change nothing."""
        lifted = [parse(spec, self.operations) for spec in specs]
        self._faults = [fault for fault in self._faults if not any(fault.is_same_as(each) for each in lifted)]

    def strike(self, target: str, name: str, *kinds: str, instance_types: Iterable[str] = ()) -> Fault | None:
        """Return the first fault that applies, if any, and count the strike.

        Parameters
        ----------
        target, name
            The operation, life or state that is about to begin, and the name of the resource.
        kinds
            The kinds of faults to consider; all if none is given.
        instance_types
            The requested instance types; `quota`, `unsupported` and `capacity` with a value apply only to that type.
        """
        types = set(instance_types)
        for fault in self._faults:
            if fault.target != target or not fault.is_for(name) or fault.left == 0:
                continue
            if kinds and fault.kind not in kinds:
                continue
            if fault.kind in _BY_TYPE and fault.value and fault.value not in types:
                continue
            fault.struck += 1
            if fault.left is not None:
                fault.left -= 1
            return fault
        return None

    def quotas(self, target: str, name: str) -> Iterator[tuple[Fault, str, int]]:
        """Yield the quotas that apply to a new resource: fault, instance type (empty: all types), number."""
        for fault in self._faults:
            if fault.target == target and fault.kind == "quota" and fault.is_for(name):
                instance_type, _, count = fault.value.rpartition("/")
                yield fault, instance_type, int(count)

    def unsupported_types(self, target: str) -> set[str]:
        """Return the instance types that an operation refuses because the region does not support them."""
        return {fault.value for fault in self._faults if (fault.target, fault.kind) == (target, "unsupported")}

    async def wait_until_lifted(self, fault: Fault) -> None:
        """Wait until a fault is no longer in force."""
        while any(each is fault for each in self._faults):
            await asyncio.sleep(_LIFTED_POLL_SECONDS)

    def to_json(self) -> list[dict[str, object]]:
        """Return the faults in force, each with its number of strikes."""
        return [fault.to_json() for fault in self._faults]
