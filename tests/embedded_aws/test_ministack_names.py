"""The names of ministack that embedded_aws.ministack uses: an upgrade that removes one fails here, by name."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from embedded_aws import ministack as ours

SOURCES = sorted(Path(ours.__path__[0]).glob("*.py"))


def imports(tree: ast.AST) -> Iterator[tuple[str, str, str]]:
    """Yield (local name, module, name in it) of everything that a file imports from ministack."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "ministack":
            for each in node.names:
                yield each.asname or each.name, str(node.module), each.name


def is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def used_names() -> set[tuple[str, str]]:
    """Return (module, name) of every name of ministack's modules that our files import, read or replace."""
    found = set()
    for source in SOURCES:
        tree = ast.parse(source.read_text())
        modules = {}
        for local, module, name in imports(tree):
            if is_module(f"{module}.{name}"):
                modules[local] = f"{module}.{name}"
            else:
                found.add((module, name))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
                found.add((modules[node.value.id], node.attr))
    return found


def inherited_names() -> set[tuple[str, str, str]]:
    """Return (module, class, name) of every member of a ministack class that a subclass of ours uses."""
    found = set()
    for source in SOURCES:
        tree = ast.parse(source.read_text())
        modules = {local: f"{module}.{name}" for local, module, name in imports(tree)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.ClassDef):
                continue
            for base in node.bases:
                if isinstance(base, ast.Attribute) and isinstance(base.value, ast.Name) and base.value.id in modules:
                    own = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
                    own |= {ast.unparse(each.target) for each in node.body if isinstance(each, ast.AnnAssign)}
                    found |= {(modules[base.value.id], base.attr, name) for name in members_used(node) - own}
                    found |= {(modules[base.value.id], base.attr, name) for name in members_of_super(node)}
    return found


def members_used(node: ast.ClassDef) -> set[str]:
    return {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "self"
    }


def members_of_super(node: ast.ClassDef) -> set[str]:
    return {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute)
        and isinstance(each.value, ast.Call)
        and isinstance(each.value.func, ast.Name)
        and each.value.func.id == "super"
    }


def load(module: str) -> ModuleType:
    return importlib.import_module(module)


def test_ministack_is_the_version_that_the_fixes_were_written_for() -> None:
    assert version("ministack") == "1.5.33"


def test_the_names_are_found_in_the_code() -> None:
    names = used_names()
    assert ("ministack.app", "_dispatch_service_request") in names  # replaced
    assert ("ministack.core.iam_actions", "_s3_action") in names  # imported by name
    assert ("ministack.services.stepfunctions", "_ExecutionError") in names  # read
    assert ("ministack.core.lambda_runtime", "ProvidedWorker", "_proc") in inherited_names()


@pytest.mark.parametrize(("module", "name"), sorted(used_names()))
def test_a_name_exists(module: str, name: str) -> None:
    assert hasattr(load(module), name), f"{module}.{name} no longer exists"


@pytest.mark.parametrize(("module", "base", "name"), sorted(inherited_names()))
def test_an_inherited_member_exists(module: str, base: str, name: str) -> None:
    source = inspect.getsource(getattr(load(module), base))
    assert re.search(rf"\bself\.{name}\b|def {name}\b", source), f"{module}.{base} no longer has {name}"


@pytest.mark.parametrize(
    ("module", "name", "parameters"),
    [
        ("ministack.app", "_handle_admin_config_request", ["path", "method", "body"]),
        (
            "ministack.app",
            "_dispatch_service_request",
            ["method", "path", "headers", "body", "query_params", "request_id"],
        ),
        (
            "ministack.core.iam_actions",
            "extract_resource_arn",
            ["service", "method", "path", "headers", "body", "query_params", "region", "account_id"],
        ),
        (
            "ministack.core.iam_evaluator",
            "enforce",
            ["access_key_id", "iam_action", "service", "region", "resource_arn", "service_context"],
        ),
        ("ministack.core.lambda_runtime", "execution_credentials", ["config"]),
        ("ministack.services.s3", "_get_object", ["bucket_name", "key", "headers", "query_params"]),
        ("ministack.services.stepfunctions", "_s3_object_text", ["bucket", "key"]),
        ("ministack.services.stepfunctions", "_call_lambda", ["func_ref", "event"]),
        ("ministack.services.eventbridge", "_invoke_target", ["target", "event", "rule", "view"]),
        ("ministack.services.lambda_svc", "_route_async_failure", ["target_arn", "func_name", "event", "result"]),
    ],
)
def test_a_replaced_function_takes_the_same_parameters(module: str, name: str, parameters: list[str]) -> None:
    signature: Any = inspect.signature(getattr(load(module), name))
    assert list(signature.parameters) == parameters
