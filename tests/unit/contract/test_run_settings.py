"""What the functions read of their settings."""

import json
from dataclasses import asdict, fields, replace

import pytest

from contract.run_settings import VARIABLE, RunParameters, RunSettings
from tests.reference import PROJECT


def test_a_function_reads_the_settings_that_the_stack_wrote(settings: RunSettings) -> None:
    changed = replace(settings, clusters=6, inference="function")
    read = RunSettings.from_environment({VARIABLE: json.dumps(asdict(changed))})
    assert read == changed
    assert not read.hosts_models


def test_a_function_without_settings_says_which_variable_is_missing() -> None:
    with pytest.raises(LookupError, match=f"{VARIABLE} is not set; the stack sets it on every function"):
        RunSettings.from_environment({})


def test_every_setting_is_documented_with_its_default_and_effect() -> None:
    rows = (PROJECT / "docs" / "settings.md").read_text(encoding="utf-8").splitlines()
    for each in fields(RunParameters):
        default = each.default_factory() if callable(each.default_factory) else each.default
        (row,) = (row for row in rows if row.startswith(f"| `{each.name}` |"))
        assert f"| `{json.dumps(default)}` |" in row
        assert row.endswith(f"| {each.metadata['description']} |")
