"""How ``make mutants`` runs the unit tests: those that execute a line, with a mutant in the functions."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools.tests_of_lines import replace_functions

ROOT = Path(__file__).parents[3]
ERRORS, TEST = ROOT / "contract" / "errors.py", "tests/unit/contract/test_errors.py"
FOUND = f"{TEST}::test_an_error_that_is_not_listed_has_the_remedy_of_all_others"
CHECK = "if error in kind.names"
COMMAND = [sys.executable, "-m", "tools.tests_of_lines"]


def test_the_recording_names_the_tests_of_a_line(tmp_path: Path) -> None:
    subprocess.run([*COMMAND, "record", str(tmp_path / "found.json"), TEST], cwd=ROOT, check=True, capture_output=True)
    found = json.loads((tmp_path / "found.json").read_text())
    (line,) = (number for number, text in enumerate(ERRORS.read_text().split("\n"), 1) if CHECK in text)
    assert found["lines"]["contract/errors.py"][str(line)] == [FOUND]
    assert len(found["seconds"]) == 3


def test_the_server_says_for_each_mutant_whether_a_test_failed(tmp_path: Path) -> None:
    text = ERRORS.read_text()
    requests = [
        {"file": str(ERRORS), "text": each, "tests": [FOUND]}
        for each in (text, text.replace(CHECK, "if error not in kind.names"), text)
    ]
    served = subprocess.run(
        [*COMMAND, "serve", str(tmp_path / "files"), TEST],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        input="".join(json.dumps(each) + "\n" for each in requests),
    )
    assert served.stdout.split() == ["0", "1", "0"]


def test_functions_methods_and_decorated_functions_are_replaced(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "from functools import cache\n\n\n@cache\ndef decorated():\n    return 1\n\n\n"
        "class Thing:\n    @property\n    def value(self):\n        return [each for each in (1,)]\n"
    )
    specification = importlib.util.spec_from_file_location("module", file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    replace_functions(str(file), file.read_text().replace("1", "2"))
    assert module.decorated() == 2
    assert module.Thing().value == [2]


def test_a_text_with_other_functions_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("def one():\n    return 1\n")
    with pytest.raises(ValueError, match="shorter"):
        replace_functions(str(file), "")
