"""Runs the unit tests for ``tools.mutants``: all to record what each executes, then those that can notice a mutant.

``python -m tools.tests_of_lines record FILE TESTS…`` runs tests and writes what each executes to FILE.
``python -m tools.tests_of_lines run FILE TESTS…`` runs tests until one fails, in the order of the node IDs in FILE.
``python -m tools.tests_of_lines serve FOLDER TESTS…`` runs some of the tests for each of many mutants of functions, and
keeps their files in FOLDER.
"""

import gc
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import zip_longest
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, TextIO

import coverage
import pytest
from hypothesis import Phase, settings

ROOT = Path(__file__).parents[1]
CODE = ("jobs", "contract", "lambdas")
CACHE = type(cache(len))
OPTIONS = ("-q", "-p", "no:cacheprovider", "-m", "not slow")
# A mutant can make a test or an import run forever, or use more and more memory. Without a mutant, none of them comes
# near these limits.
PROCESSOR_SECONDS = 30
ADDRESS_SPACE = 8 * 2**30


class Recorder:
    """Separates what coverage records by test, and measures the processor seconds of each test with its fixtures.

    What runs between the tests, on import or in another process is recorded without a name. A fixture that several
    tests share is recorded once, under its own name. Each test starts with empty caches, so that it executes what it
    would otherwise find in them.
    """

    def __init__(self, recorded: coverage.Coverage) -> None:
        self._recorded = recorded
        self._test = ""
        self.seconds: dict[str, float] = {}
        self._users = defaultdict[str, list[str]](list)
        self._caches: list[Any] = []

    def tests(self, contexts: list[str]) -> list[str]:
        """Return the tests that executed a line themselves or through a fixture."""
        return sorted({test for context in contexts for test in self._users.get(context, [context])})

    def pytest_collection_finish(self) -> None:
        """Find the caches of the code under test."""
        caches = (each for each in gc.get_objects() if isinstance(each, CACHE))
        self._caches = [each for each in caches if str(each.__module__).partition(".")[0] in CODE]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Function) -> Iterator[None]:
        """Record under the test's node ID."""
        for each in self._caches:
            each.cache_clear()
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
    """Runs all tests, those whose node IDs are given first. A mutant may have changed the node IDs of others."""

    def __init__(self, first: list[str]) -> None:
        self._first = first

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run them until one fails, if all modules can be imported."""
        if not session.testsfailed:
            run_until_failure(session, [*self._first, *(item.nodeid for item in session.items)])
        return True


class Server:
    """Imports all tests once, and runs some of them for each mutant in a fork of the process.

    A mutant is put into the functions that have been imported, so only code in functions can be changed.
    """

    def __init__(self, requests: TextIO, responses: TextIO) -> None:
        self._requests, self._responses = requests, responses

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Respond to each request, a line of JSON, with a line that has the exit code of the fork."""
        for line in self._requests:
            if not (process := os.fork()):
                request = json.loads(line)
                replace_functions(request["file"], request["text"])
                run_until_failure(session, request["tests"])
                os._exit(session.testsfailed)
            code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            print(code, file=self._responses, flush=True)
        return True


def run_until_failure(session: pytest.Session, tests: list[str]) -> None:
    """Run collected tests until one fails, and end the process, which counts as a failure, if one does not end."""
    collected = {item.nodeid: item for item in session.items}
    items = [collected.pop(test) for test in tests if test in collected]
    for item, following in zip_longest(items, items[1:]):
        signal.setitimer(signal.ITIMER_PROF, PROCESSOR_SECONDS)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if session.testsfailed:
            break


def replace_functions(file: str, text: str) -> None:
    """Give all functions that were imported from a file the code that they have in another text of the file."""
    imported = codes_in(compile(Path(file).read_text(encoding="utf-8"), file, "exec"))
    codes = zip(imported, codes_in(compile(text, file, "exec")), strict=True)
    by_place = {(before.co_qualname, before.co_firstlineno): after for before, after in codes}
    for each in gc.get_objects():
        # isinstance would ask a weak reference's object for its class, which may no longer exist.
        if type(each) is FunctionType and each.__code__.co_filename == file:
            each.__code__ = by_place[each.__code__.co_qualname, each.__code__.co_firstlineno]


def codes_in(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of all functions in a module's, class's or function's code."""
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from codes_in(each)


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


def run(file: Path, tests: list[str]) -> int:
    """Run tests in a new process, which imports everything with the mutant."""
    signal.setitimer(signal.ITIMER_PROF, PROCESSOR_SECONDS)
    return pytest.main(["-x", *OPTIONS, *tests], plugins=[InOrder(json.loads(file.read_text(encoding="utf-8")))])


def serve(folder: Path, tests: list[str]) -> int:
    """Read requests from the standard input and write responses to the standard output, until the input ends."""
    requests, responses = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
    return pytest.main([*OPTIONS, f"--basetemp={folder}", *tests], plugins=[Server(requests, responses)])


def main() -> None:
    """Let Hypothesis try the same examples for each mutant, and stop at the first that fails."""
    command, path, *tests = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    settings.register_profile("mutants", derandomize=True, phases=[Phase.explicit, Phase.generate])
    settings.load_profile("mutants")
    match command:
        case "record":
            sys.exit(record(Path(path), tests))
        case "run":
            sys.exit(run(Path(path), tests))
        case "serve":
            sys.exit(serve(Path(path), tests))


if __name__ == "__main__":
    main()
