"""Faults to inject into the embedded SageMaker and S3, told in one line each.

A fault reads `Target[@name]:fault[=value][*times]`, for example `CreateEndpoint@kmeans:throttle*3`. The target is an
operation (`CreateTrainingJob`), an operation of S3 (`s3.PutObject`), the life of a resource (`TrainingJob`,
`Endpoint`), a function's process (`lambda.prepare`), or a state of a state machine (`State.Publish`). `@name` limits it
to resources whose name (S3: `bucket/key`) contains the text, in which `*` stands for any text; `*times` ends it after
so many strikes (default: never).
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

# What may strike where, and whether the fault takes a value: yes, no or at will.
_NO, _YES, _MAY = "no", "yes", "may"
OPERATION_FAULTS = {
    "throttle": _NO,  # ThrottlingException
    "error": _NO,  # InternalFailure, 500
    "unavailable": _NO,  # ServiceUnavailable, 503
    "denied": _NO,  # AccessDeniedException
    "invalid": _MAY,  # ValidationException with the value as its message
    "limit": _NO,  # ResourceLimitExceeded, whatever the instance type
    "quota": _YES,  # ResourceLimitExceeded when the request is for this instance type
    "unsupported": _YES,  # ValidationException "Unsupported instance type" when the request is for this type
    "reset": _NO,  # the connection breaks before the operation is done
    "lost": _NO,  # the operation is done, then the connection breaks: its answer is lost
    "slow": _YES,  # seconds before the operation is done
}
INVOCATION_FAULTS = {"model_error": _MAY, "not_ready": _NO}  # ModelError 424, ModelNotReadyException 429
S3_FAULTS = {"slowdown": _NO, "error": _NO, "denied": _NO, "reset": _NO, "lost": _NO, "slow": _YES}
LIFE_FAULTS = {
    "failed": _MAY,  # ends Failed, with the value as its reason
    "capacity": _MAY,  # ends Failed for lack of capacity; with a value, of that instance type only
    "stuck": _NO,  # stays InProgress or Creating while the fault is in force
    "stuck_deleting": _NO,  # an endpoint stays Deleting while the fault is in force
    "slow": _YES,  # takes so many seconds more
    "unlisted": _YES,  # an endpoint that lists do not show for so many seconds after its creation, but describes do
    "quota": _YES,  # ResourceLimitExceeded above so many instances at a time, of a type: ml.m5.large/2; of any: 2
}
SERVICE_FAULTS = {
    "lag": _YES,  # seconds for which describes, lists and lookups do not see a new resource
    "not_found": _YES,  # the code of the error for a missing resource: ValidationException or ResourceNotFound
}
STATE_FAULTS = {"slow": _YES}  # seconds that an execution is held in the state
FUNCTION_FAULTS = {"kill": _MAY, "timeout": _MAY, "oom": _MAY}  # after so many calls to AWS
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
    """A fault that can't be understood; the message says what would be right."""


@dataclass
class Fault:
    """One fault. `left` is how many strikes remain, None for no end."""

    target: str
    kind: str
    match: str = ""
    value: str = ""
    left: int | None = None
    struck: int = 0

    def is_for(self, name: str) -> bool:
        """Say whether it strikes a resource of that name."""
        return fnmatchcase(name, f"*{self.match}*")

    def is_same_as(self, other: Fault) -> bool:
        """Say whether both do the same to the same resources, however often."""
        return (self.target, self.kind, self.match, self.value) == (other.target, other.kind, other.match, other.value)

    @property
    def seconds(self) -> float:
        """The value as seconds, for `slow`."""
        return float(self.value)

    def to_json(self) -> dict[str, object]:
        """Return what the control route shows."""
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
        When the spec is malformed, or names no such target or fault.
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
        """Put these faults in force instead of the present ones; none when any is wrong."""
        self._faults = [parse(spec, self.operations) for spec in specs]

    def add(self, specs: Iterable[str]) -> None:
        """Put these faults in force beside the present ones; none when any is wrong."""
        self._faults += [parse(spec, self.operations) for spec in specs]

    def remove(self, specs: Iterable[str]) -> None:
        """Lift these faults, however often they have struck; none when any is wrong."""
        lifted = [parse(spec, self.operations) for spec in specs]
        self._faults = [fault for fault in self._faults if not any(fault.is_same_as(each) for each in lifted)]

    def strike(self, target: str, name: str, *kinds: str, instance_types: Iterable[str] = ()) -> Fault | None:
        """Return the first fault that strikes now, and count it.

        Parameters
        ----------
        target, name
            What is about to happen, to which resource.
        kinds
            Only faults of these kinds; none given: any kind.
        instance_types
            What the request asks for: `quota`, `unsupported` and `capacity` with a value strike only these types.
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
        """Yield the quotas that apply to a new resource: the fault, the instance type or nothing, the number."""
        for fault in self._faults:
            if fault.target == target and fault.kind == "quota" and fault.is_for(name):
                instance_type, _, count = fault.value.rpartition("/")
                yield fault, instance_type, int(count)

    def unsupported_types(self, target: str) -> set[str]:
        """Return the instance types that an operation refuses because the region does not support them."""
        return {fault.value for fault in self._faults if (fault.target, fault.kind) == (target, "unsupported")}

    async def wait_until_lifted(self, fault: Fault) -> None:
        """Return once a fault is no longer in force."""
        while any(each is fault for each in self._faults):
            await asyncio.sleep(_LIFTED_POLL_SECONDS)

    def to_json(self) -> list[dict[str, object]]:
        """Return the faults in force, with how often each struck."""
        return [fault.to_json() for fault in self._faults]
