"""Run the unit tests for ``tools.mutants``: once for what they execute, then for each mutant those that can notice it.

``python -m tools.tests_of_lines record FILE TESTS…`` runs tests and writes what each executes to FILE.
``python -m tools.tests_of_lines run FILE`` runs the tests whose node IDs FILE lists, in this order, until one fails.
"""

import json
import os
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest
from hypothesis import Phase, settings

ROOT = Path(__file__).parents[1]
OPTIONS = ("-q", "-p", "no:cacheprovider", "-m", "not slow")
# With some mutants a test does not end. No test needs nearly this time without a mutant.
PROCESSOR_SECONDS = 30


class Recorder:
    """Separates what coverage records by test, and measures the processor seconds of each test with its fixtures.

    What runs between the tests, on import or in another process is recorded without a name. A fixture that several
    tests share is recorded once, under its own name.
    """

    def __init__(self, recorded: coverage.Coverage) -> None:
        self._recorded = recorded
        self._test = ""
        self.seconds: dict[str, float] = {}
        self._users = defaultdict[str, list[str]](list)

    def tests(self, contexts: list[str]) -> list[str]:
        """Return the tests that executed a line themselves or through a fixture."""
        return sorted({test for context in contexts for test in self._users.get(context, [context])})

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Function) -> Iterator[None]:
        """Record under the test's node ID."""
        for fixture in item.fixturenames:
            self._users[fixture].append(item.nodeid)
        self._test = item.nodeid
        self._recorded.switch_context(self._test)
        began = time.process_time()
        yield
        self.seconds[self._test] = time.process_time() - began
        self._recorded.switch_context("")

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        """Record under the name of a shared fixture."""
        self._recorded.switch_context(self._test if fixturedef.scope == "function" else fixturedef.argname)
        yield
        self._recorded.switch_context(self._test)


class InOrder:
    """Runs given tests in their order, and ends the process, which counts as a failed test, if one does not end."""

    def __init__(self, tests: list[str]) -> None:
        self._places = {test: place for place, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Select and sort the tests."""
        selected = [item for item in items if item.nodeid in self._places]
        items[:] = sorted(selected, key=lambda item: self._places[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        """Limit the processor time of a test."""
        signal.setitimer(signal.ITIMER_PROF, PROCESSOR_SECONDS)
        yield
        signal.setitimer(signal.ITIMER_PROF, 0)


def record(file: Path, tests: list[str]) -> int:
    """Write the processor seconds of each test, and for each line of each file the tests that execute it."""
    with tempfile.TemporaryDirectory() as folder:
        recorded = coverage.Coverage(data_file=f"{folder}/coverage", config_file=str(ROOT / "pyproject.toml"))
        recorder = Recorder(recorded)
        recorded.start()
        failed = pytest.main([*OPTIONS, *tests], plugins=[recorder])
        recorded.stop()
        recorded.save()
        recorded.combine()
        data = recorded.get_data()
        lines = {
            os.path.relpath(each, ROOT): {
                line: recorder.tests(contexts) for line, contexts in data.contexts_by_lineno(each).items()
            }
            for each in data.measured_files()
        }
    file.write_text(json.dumps({"seconds": recorder.seconds, "lines": lines}), encoding="utf-8")
    return failed


def run(file: Path) -> int:
    """Run tests until one fails."""
    tests = json.loads(file.read_text(encoding="utf-8"))
    files = dict.fromkeys(test.partition("::")[0] for test in tests)
    return pytest.main(["-x", *OPTIONS, *files], plugins=[InOrder(tests)])


def main() -> None:
    """Let Hypothesis try the same examples for each mutant, and stop at the first that fails."""
    command, file, *tests = sys.argv[1:]
    settings.register_profile("mutants", derandomize=True, phases=[Phase.explicit, Phase.generate])
    settings.load_profile("mutants")
    sys.exit(record(Path(file), tests) if command == "record" else run(Path(file)))


if __name__ == "__main__":
    main()
