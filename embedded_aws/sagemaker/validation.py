"""Checks requests against botocore's model of SageMaker, with AWS's error messages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from embedded_aws.sagemaker.errors import AwsError, validation

_JSON_TYPES: dict[str, Any] = {
    "structure": dict,
    "map": dict,
    "list": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float, str),
    "blob": str,
}
# Java's classes of letters, marks, numbers and separators, which Python's `re` lacks. They occur only within brackets.
_JAVA_CLASSES = {r"\p{L}": r"\w", r"\p{M}": r"\w", r"\p{N}": r"\w", r"\p{Z}": r"\s"}


def parse_body(body: bytes) -> dict[str, Any]:
    """Read a JSON request body.

    Raises
    ------
    AwsError
        SerializationException if the body is not a JSON object.
    """
    try:
        parsed = json.loads(body or b"{}")
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise AwsError("SerializationException", "The request body is not valid JSON.") from None
    if not isinstance(parsed, dict):
        raise AwsError("SerializationException", "Start of structure or map found where not expected.")
    return parsed


def check(params: dict[str, Any], shape: Any) -> None:
    """Check a request against its input shape: presence, type, pattern, length, range and enumeration.

    Parameters
    ----------
    params
        The request as JSON.
    shape
        A botocore `StructureShape`, or None for an operation without input. As on AWS, unknown members are ignored.

    Raises
    ------
    AwsError
        SerializationException for a value of the wrong JSON type; ValidationException that lists every violation.
    """
    if shape is None:
        return
    problems = list(_violations(params, shape, ""))
    if problems:
        plural = "s" if len(problems) > 1 else ""
        raise validation(f"{len(problems)} validation error{plural} detected: {'; '.join(problems)}")


def _violations(value: Any, shape: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    expected = _JSON_TYPES[kind]
    if not isinstance(value, expected) or (isinstance(value, bool) and kind != "boolean"):
        raise AwsError("SerializationException", f"{type(value).__name__} value at {path!r} can not be read as {kind}")
    if kind == "structure":
        yield from _structure_violations(value, shape, path)
    elif kind == "list":
        yield from _size_violations(value, len(value), shape, path, "length")
        for index, item in enumerate(value, 1):
            yield from _violations(item, shape.member, f"{path}.{index}.member")
    elif kind == "map":
        yield from _size_violations(value, len(value), shape, path, "length")
        for key, item in value.items():
            yield from _violations(key, shape.key, f"{path}.{key}.key" if path else key)
            yield from _violations(item, shape.value, f"{path}.{key}.member")
    elif kind == "string":
        yield from _string_violations(value, shape, path)
    elif kind in ("integer", "long", "float", "double"):
        yield from _size_violations(value, value, shape, path, "value")


def _structure_violations(value: dict[str, Any], shape: Any, path: str) -> Iterator[str]:
    for name in shape.required_members:
        if value.get(name) is None:
            yield f"Value null at '{_join(path, name)}' failed to satisfy constraint: Member must not be null"
    for name, item in value.items():
        if name in shape.members and item is not None:
            yield from _violations(item, shape.members[name], _join(path, name))


def _string_violations(value: str, shape: Any, path: str) -> Iterator[str]:
    yield from _size_violations(value, len(value), shape, path, "length")
    pattern = shape.metadata.get("pattern")
    if pattern and not _compiled(pattern).fullmatch(value):
        yield f"{_subject(value, path)}: Member must satisfy regular expression pattern: {pattern}"
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield f"{_subject(value, path)}: Member must satisfy enum value set: [{', '.join(allowed)}]"


def _size_violations(value: Any, size: float, shape: Any, path: str, what: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield f"{_subject(value, path)}: Member must have {what} greater than or equal to {least}"
    if most is not None and size > most:
        yield f"{_subject(value, path)}: Member must have {what} less than or equal to {most}"


def _subject(value: Any, path: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint"


def _join(path: str, name: str) -> str:
    member = name[0].lower() + name[1:]
    return f"{path}.{member}" if path else member


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    for java, python in _JAVA_CLASSES.items():
        pattern = pattern.replace(java, python)
    return re.compile(pattern, re.DOTALL)
