"""Extends the handlers with which ministack's CloudFormation creates and updates a resource of a template."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services.cloudformation import provisioners

Properties = dict[str, Any]


def extend(
    kind: str, keep: Callable[[str, Properties], None], *, check: Callable[[Properties], None] | None = None
) -> None:
    """Let CloudFormation consider properties that ministack ignores.

    Parameters
    ----------
    kind
        The type of the resources, such as ``AWS::Lambda::Function``.
    keep
        Is called with the name and the properties of a resource after it was created or updated.
    check
        Is called with the properties before; a ``ValueError`` that it raises is the reason why the resource fails.
    """
    handlers = provisioners._RESOURCE_HANDLERS[kind]
    create, update = handlers["create"], handlers["update"]

    def create_and_keep(logical_id: str, properties: Properties, *rest: Any) -> Any:
        if check is not None:
            check(properties)
        name, attributes = create(logical_id, properties, *rest)
        keep(name, properties)
        return name, attributes

    def update_and_keep(name: str, old: Properties, new: Properties, *rest: Any, **keywords: Any) -> Any:
        if check is not None:
            check(new)
        updated = update(name, old, new, *rest, **keywords)
        keep(updated[0], new)
        return updated

    handlers.update(create=create_and_keep, update=update_and_keep)
