"""JSON Schemas of typed dictionaries and dataclasses."""

import builtins
import dataclasses
import inspect
import re
import types
import typing
from collections import abc
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

Schema = dict[str, Any]

_SIMPLE: dict[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
    Any: {},
}


def schema_of(described: Any, title: str) -> Schema:
    """Return the JSON Schema (2020-12) of a type.

    Pydantic makes schemas of typed dictionaries only from Python 3.12 on, and this project also supports 3.11.

    Parameters
    ----------
    described
        A TypedDict, a dataclass, or a list of one of them; fields may have any type that JSON has.
    title
        The title of the schema.

    Raises
    ------
    TypeError
        If a field has a type that JSON does not have.
    """
    definitions: dict[str, Schema] = {}
    schema = _schema(described, definitions)
    if "$ref" in schema:
        schema = definitions.pop(schema["$ref"].rpartition("/")[2])
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return {**head, **schema, **({"$defs": dict(sorted(definitions.items()))} if definitions else {})}


def _schema(described: Any, definitions: dict[str, Schema]) -> Schema:
    if described in _SIMPLE:
        return _SIMPLE[described]
    if is_typeddict(described) or dataclasses.is_dataclass(described):
        if described.__name__ not in definitions:
            definitions[described.__name__] = {}  # stops the recursion of types that contain themselves
            definitions[described.__name__] = _object(described, definitions)
        return {"$ref": f"#/$defs/{described.__name__}"}
    arguments = get_args(described)
    match get_origin(described):
        case typing.Required | typing.NotRequired:
            schema = _schema(arguments[0], definitions)
        case typing.Literal:
            schema = {"enum": list(arguments)}
        case typing.Union | types.UnionType:
            schema = {"anyOf": [_schema(each, definitions) for each in arguments]}
        case builtins.list | builtins.tuple | abc.Sequence:
            schema = {"type": "array", "items": _schema(arguments[0], definitions)}
        case builtins.dict | abc.Mapping:
            schema = {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
        case _:
            raise TypeError(f"{described!r} has no JSON Schema")
    return schema


def _object(described: Any, definitions: dict[str, Schema]) -> Schema:
    text, attributes = _documentation(described)
    hints = get_type_hints(described, include_extras=True)
    fields = {name: _schema(kind, definitions) for name, kind in hints.items()}
    required = described.__required_keys__ if is_typeddict(described) else fields
    return {
        "description": text,
        "type": "object",
        "properties": {
            name: {**schema, "description": attributes[name]} if name in attributes else schema
            for name, schema in fields.items()
        },
        "required": [name for name in fields if name in required],
        "additionalProperties": False,
    }


def _documentation(described: Any) -> tuple[str, dict[str, str]]:
    """Return the text of a type's docstring, and the descriptions in its section Attributes by field."""
    text, _, section = (inspect.getdoc(described) or "").partition("\n\nAttributes\n----------\n")
    attributes: dict[str, str] = {}
    for names, lines in re.findall(r"^(\w.*)\n((?:    .*\n?)+)", section, re.MULTILINE):
        attributes |= dict.fromkeys(names.split(", "), " ".join(lines.split()))
    return " ".join(text.split()), attributes
