"""What the functions read of their settings."""

import json
from dataclasses import asdict, replace

import pytest

from contract.run_settings import VARIABLE, RunSettings


def test_a_function_reads_the_settings_that_the_stack_wrote(settings: RunSettings) -> None:
    changed = replace(settings, clusters=6, inference="function")
    read = RunSettings.from_environment({VARIABLE: json.dumps(asdict(changed))})
    assert read == changed
    assert not read.hosts_models


def test_a_function_without_settings_says_which_variable_is_missing() -> None:
    with pytest.raises(LookupError, match=f"{VARIABLE} is not set; the stack sets it on every function"):
        RunSettings.from_environment({})
