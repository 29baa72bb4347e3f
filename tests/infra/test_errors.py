"""contract/errors.py lists every error that the state machine and the functions name."""

import ast
import builtins
from collections.abc import Iterator
from typing import Any

import pytest

from contract.errors import ERRORS
from infra.definition import all_states, state_machine_definition
from tests.infra.synthesis import KMS, ROOT, template_of

LISTED = {name for kind in ERRORS for name in kind.names}
NOT_OF_A_RUN = {
    "InvalidEvent": "start_run raises it before there is a run",
    "UnknownCountyError": "the command line raises it",
    "UnreadableText": "Prepare turns it into InvalidCensus",
}


def errors_of_states(definition: dict[str, Any]) -> set[str]:
    """Return the errors with which states fail, and those that they retry or catch by name."""
    states = all_states(definition).values()
    found = {state["Error"] for state in states if state["Type"] == "Fail" and "Error" in state}
    handlers = [each for state in states for each in (*state.get("Retry", ()), *state.get("Catch", ()))]
    return (found | {error for handler in handlers for error in handler["ErrorEquals"]}) - {"States.ALL"}


def errors_of_functions() -> Iterator[str]:
    """Yield the exception classes of the code that functions run, and the names that they give to errors."""
    for path in [each for folder in ("jobs", "lambdas") for each in (ROOT / folder).rglob("*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name("named_error"), args=[ast.Constant(str(name)), *_]):
                    yield name
                case ast.ClassDef(name=name, bases=[ast.Name(base), *_]) if is_exception(base):
                    yield name


def is_exception(base: str) -> bool:
    known = getattr(builtins, base, None)
    return base.endswith("Error") or (isinstance(known, type) and issubclass(known, BaseException))


@pytest.mark.parametrize("settings", [{}, KMS, {"inference": "function"}], ids=["default", "kms", "function"])
def test_every_error_of_a_state_is_listed(settings: dict[str, Any]) -> None:
    found = errors_of_states(state_machine_definition(template_of(**settings)))
    assert {"TrainingJobFailed", "QuotaFull", "ThrottlingException"} <= found
    assert found - LISTED == set()


def test_every_error_of_a_function_is_listed() -> None:
    found = set(errors_of_functions())
    assert {"NameTaken", "InvalidCensus", "TeardownTimedOut"} <= found
    assert found - LISTED == set(NOT_OF_A_RUN)
