"""Reads the definition of the state machine from a synthesized template."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

State = dict[str, Any]


def state_machine_definition(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definition in Amazon States Language; references to resources become ARNs with their logical ids."""
    (machine,) = (each for each in template["Resources"].values() if each["Type"] == "AWS::StepFunctions::StateMachine")
    definition: dict[str, Any] = json.loads(text(machine["Properties"]["DefinitionString"], _reference))
    return definition


def machines(definition: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the definition, and its branches and maps at any depth; each has ``StartAt`` and ``States``."""
    yield definition
    for state in definition["States"].values():
        for inner in (*state.get("Branches", ()), *([state["ItemProcessor"]] if "ItemProcessor" in state else ())):
            yield from machines(inner)


def all_states(definition: Mapping[str, Any]) -> dict[str, State]:
    """Return every state by its name, which is unique in the state machine, including those of branches and maps."""
    return {name: state for machine in machines(definition) for name, state in machine["States"].items()}


def successors(state: Mapping[str, Any]) -> list[str]:
    """Return the names of the states that may follow a state, in the order of the definition."""
    following = [choice["Next"] for choice in state.get("Choices", ())]
    following += [state[key] for key in ("Default", "Next") if key in state]
    return following + [catch["Next"] for catch in state.get("Catch", ())]


def text(value: Any, reference: Callable[[Mapping[str, Any]], str]) -> str:
    """Return the text that a template builds; `reference` gives it for what is known only on deployment."""
    match value:
        case str():
            return value
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(text(part, reference) for part in parts)
    return reference(value)


def _reference(value: Mapping[str, Any]) -> str:
    match value:
        case {"Fn::GetAtt": [name, "Arn"]}:
            return f"arn:aws:lambda:us-east-1:111122223333:function:{name}"
        case {"Ref": "AWS::Partition"}:
            return "aws"
        case {"Ref": name}:
            return str(name)
    raise TypeError(f"{value!r} isn't text that a template builds")
