"""Measure how many small faults in the code the unit tests notice.

``make mutants`` draws a seeded sample of the mutants that cosmic-ray's operators make of ``jobs/``, ``contract/`` and
``lambdas/``, and of strings changed to another, runs the unit tests on each and prints those that no test noticed.
Mutants that change nothing observable are listed with the reason in ``tests/equivalent_mutants.json`` and left out.

docs/testing.md says which tests run for a mutant, and how.

It runs in an environment of its own (``requirements-mutants.txt``); the tests run in the project's.
"""

import argparse
import ast
import difflib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import parso
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parents[1]
FOLDERS = ("jobs", "contract", "lambdas")
TESTS = tuple(f"tests/unit/{folder}" for folder in FOLDERS)
EQUIVALENT = ROOT / "tests" / "equivalent_mutants.json"
PYTHON = ROOT / ".venv" / "bin" / "python"
WANTED_SCORE = 0.9
# Operators whose mutants fail on import or change no behavior that this project is responsible for.
LEFT_OUT = ("core/RemoveDecorator", "core/ExceptionReplacer", "core/VariableReplacer", "core/VariableInserter")
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
SECONDS = 600
# pytest's exit codes for an error of its own or of a plug-in, and for no tests.
BROKEN = (3, 5)


class StringReplacer(Operator):  # type: ignore[misc]
    """Changes plain strings, which cosmic-ray's own operators do not change."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Yield the position of a string literal."""
        if isinstance(node, parso.python.tree.String):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """Append to the string, within its quotation marks."""
        quote = node.value[-3:] if node.value.endswith(('"""', "'''")) else node.value[-1]
        node.value = node.value[: -len(quote)] + "XX" + quote
        return node

    @classmethod
    def examples(cls) -> list[Any]:
        """Return no examples, which only cosmic-ray's own tests need."""
        return []


@dataclass(frozen=True)
class Mutant:
    """One change to one file; `place` is the line and column of the changed code."""

    file: str
    operator: str
    occurrence: int
    place: tuple[int, int]

    def mutated(self) -> str | None:
        """Return the file's mutated text, or None if the operator produces none."""
        text = (ROOT / self.file).read_text(encoding="utf-8")
        found: str | None = mutate_code(text, operators()[self.operator], self.occurrence)
        return found

    def is_valid(self) -> bool:
        """Return whether the mutated file is Python: the operators take the stars of parameters for operators."""
        try:
            return ast.parse(self.mutated() or "").body != []
        except SyntaxError:
            return False

    def in_function(self) -> bool:
        """Return whether the changed code runs when a function is called, not when the module is imported."""
        return any(isinstance(node, FUNCTION) and self._within(node.body) for node in ast.walk(parsed(self.file)))

    def statement(self) -> range:
        """Return the lines of the innermost statement around the changed code; of an if or a loop, its first lines."""
        around = [node for node in ast.walk(parsed(self.file)) if isinstance(node, ast.stmt) and self._within([node])]
        innermost = max(around, key=lambda node: (node.lineno, node.col_offset))
        body = getattr(innermost, "body", None)
        last = body[0].lineno - 1 if body else innermost.end_lineno or 0
        return range(innermost.lineno, max(last, innermost.lineno) + 1)

    def _within(self, body: list[ast.stmt]) -> bool:
        first, last = body[0], body[-1]
        return (first.lineno, first.col_offset) <= self.place < (last.end_lineno or 0, last.end_col_offset or 0)

    def difference(self) -> tuple[str, str]:
        """Return the changed lines before and after."""
        before = (ROOT / self.file).read_text(encoding="utf-8").splitlines()
        after = (self.mutated() or "").splitlines()
        changed = list(difflib.unified_diff(before, after, lineterm="", n=0))[3:]
        parts = ("\n".join(line[1:].strip() for line in changed if line[0] == sign) for sign in "-+")
        return next(parts), next(parts)


@cache
def parsed(file: str) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


@cache
def operators() -> dict[str, Operator]:
    """Return the operators by name."""
    names = [name for name in operator_names() if not name.startswith(LEFT_OUT)]
    return {name: get_operator(name)() for name in names} | {"string": StringReplacer()}


def spans_without_behaviour(tree: ast.AST) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the start and end of each annotation, docstring and ``__all__``, in which changes affect no behavior."""
    found: list[ast.AST | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            found += [node.returns, *(each.annotation for each in ast.walk(node.args) if isinstance(each, ast.arg))]
        elif isinstance(node, ast.AnnAssign):
            found.append(node.annotation)
        elif isinstance(node, ast.Expr | ast.Assign):
            is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if is_docstring or ast.unparse(node).startswith("__all__ = "):
                found.append(node)
    return [
        ((each.lineno, each.col_offset), (each.end_lineno or 0, each.end_col_offset or 0))
        for each in found
        if isinstance(each, ast.expr | ast.stmt)
    ]


def mutants_of(file: Path) -> Iterator[Mutant]:
    """Yield every mutant of a file."""
    text = file.read_text(encoding="utf-8")
    spans = spans_without_behaviour(ast.parse(text))
    nodes = list(ast_nodes(get_ast(text)))
    for name, operator in operators().items():
        places = [place for node in nodes for place in operator.mutation_positions(node)]
        for occurrence, (start, _end) in enumerate(places):
            if not any(first <= start < last for first, last in spans):
                yield Mutant(str(file.relative_to(ROOT)), name, occurrence, start)


def sample(size: int, seed: int) -> list[Mutant]:
    """Draw `size` mutants at different places, without those that are known to be equivalent."""
    files = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
    everything = [mutant for file in files for mutant in mutants_of(file)]
    # Each mutant's rank depends on itself only, so that a change of one file draws no other mutants of other files.
    everything.sort(key=lambda each: random.Random(f"{seed} {each.file} {each.operator} {each.occurrence}").random())  # noqa: S311
    known = {(each["file"], each["before"], each["after"]) for each in json.loads(EQUIVALENT.read_text())}
    drawn: dict[tuple[str, tuple[int, int]], Mutant] = {}
    for mutant in everything:
        place = (mutant.file, mutant.place)
        if len(drawn) == size:
            break
        if place not in drawn and mutant.is_valid() and (mutant.file, *mutant.difference()) not in known:
            drawn[place] = mutant
    print(f"{len(drawn)} of {len(everything):,} mutants, seed {seed}")
    return list(drawn.values())


class Tests:
    """The unit tests, with the lines that each executes and the processor seconds that it uses."""

    def __init__(self, copy: "Copy") -> None:
        """Run all tests once, without a mutant."""
        file = copy.folder / "tests_of_lines.json"
        if copy.run("record", file):
            sys.exit("The unit tests fail without any mutant; fix them first.")
        known = json.loads(file.read_text(encoding="utf-8"))
        self._seconds: dict[str, float] = known["seconds"]
        self._lines: dict[str, dict[str, list[str]]] = known["lines"]

    def executing(self, mutant: Mutant) -> set[str]:
        """Return the node IDs of the tests that execute a mutant; "" stands for import and other processes."""
        if not mutant.in_function():
            return {""}
        lines = self._lines.get(mutant.file, {})
        return {test for line in mutant.statement() for test in lines.get(str(line), [])}

    def ordered(self, tests: Set[str], mutant: Mutant) -> list[str]:
        """Sort by file, so that its fixtures are built once; quick files and near ones are first."""
        near = str(Path("tests/unit", mutant.file).parent)
        total = defaultdict[str, float](float)
        for test in tests:
            total[file_of(test)] += self._seconds[test] * (1 if test.startswith(near) else 10)
        return sorted(tests, key=lambda test: (total[file_of(test)], file_of(test), self._seconds[test]))

    def all(self, mutant: Mutant) -> list[str]:
        """Return all tests in the order to run them."""
        return self.ordered(self._seconds.keys(), mutant)


def file_of(test: str) -> str:
    """Return the file of a test's node ID."""
    return test.partition("::")[0]


class Copy:
    """A copy of the project, which tests one mutant at a time."""

    def __init__(self, folder: Path) -> None:
        """Copy the files that git knows, and link what is installed beside them."""
        self.folder = folder
        self._server: subprocess.Popen[str] | None = None
        tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        for name in filter(None, tracked.decode().split("\0")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
        for name in (".venv", "node_modules", "jobs/vendor"):
            (folder / name).symlink_to((ROOT / name).resolve())

    def notices(self, mutant: Mutant, tests: Tests) -> bool:
        """Return whether the unit tests fail with a mutant."""
        executing = tests.executing(mutant)
        if "" not in executing:
            code = self._code_in_server(mutant, tests.ordered(executing, mutant)) if executing else 0
            if code not in BROKEN:
                return code != 0
        target, order = self.folder / mutant.file, self.folder / "order_of_tests.json"
        original = target.read_text(encoding="utf-8")
        try:
            order.write_text(json.dumps(tests.all(mutant)), encoding="utf-8")
            write_module(target, mutant.mutated() or original)
            return self.run("run", order)
        finally:
            write_module(target, original)

    def _code_in_server(self, mutant: Mutant, tests: list[str]) -> int:
        self._server = self._server or subprocess.Popen(
            self._command("serve", self.folder / "files_of_tests"),
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._server.stdin is not None  # noqa: S101 - for mypy
        assert self._server.stdout is not None  # noqa: S101
        request = {"file": str(self.folder / mutant.file), "text": mutant.mutated(), "tests": tests}
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return int(self._server.stdout.readline())

    def run(self, command: str, file: Path) -> bool:
        """Run all tests, and return whether one failed or the time limit was exceeded."""
        try:
            done = subprocess.run(
                self._command(command, file),
                cwd=self.folder,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return True
        if done.returncode in BROKEN:
            raise RuntimeError(f"pytest did not run the tests: {done.stdout}{done.stderr}")
        return done.returncode != 0

    def _command(self, command: str, path: Path) -> list[str]:
        return [str(PYTHON), "-m", "tools.tests_of_lines", command, str(path), *TESTS]

    def close(self) -> None:
        """End the server."""
        if self._server:
            self._server.communicate()


def write_module(file: Path, text: str) -> None:
    """Write a Python file, and remove its bytecode, because Python compares it only by the second and the length."""
    file.write_text(text, encoding="utf-8")
    for bytecode in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
        bytecode.unlink()


class Copies:
    """Several copies, each of which tests one mutant at a time."""

    def __init__(self, folder: Path, count: int) -> None:
        # Tests look for the recorded run's files beside the project, and are skipped if the files are not there.
        (folder / "shared").symlink_to(ROOT.parent / "shared")
        self._copies = [Copy(folder / str(number)) for number in range(count)]
        self._free: SimpleQueue[Copy] = SimpleQueue()
        for copy in self._copies:
            self._free.put(copy)
        self.tests = Tests(self._copies[0])

    def notice(self, mutant: Mutant) -> bool:
        """Test a mutant in a free copy."""
        copy = self._free.get()
        try:
            return copy.notices(mutant, self.tests)
        finally:
            self._free.put(copy)

    def close(self) -> None:
        """End the processes of all copies."""
        for copy in self._copies:
            copy.close()


def main() -> None:
    """Print the mutants that no test noticed and the scores; fail if the score is below :data:`WANTED_SCORE`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=400)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    drawn = sample(given.sample, given.seed)
    noticed, drawn_in = Counter[str](), Counter(mutant.file.split("/")[0] for mutant in drawn)
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Copies(Path(folder), given.processes)) as copies,
        ThreadPoolExecutor(given.processes) as pool,
    ):
        for mutant, found in zip(drawn, pool.map(copies.notice, drawn), strict=True):
            if found:
                noticed[mutant.file.split("/")[0]] += 1
            else:
                before, after = mutant.difference()
                print(
                    f"survived: {mutant.file}:{mutant.place[0]} {mutant.operator}\n  - {before}\n  + {after}",
                    flush=True,
                )
    for name in FOLDERS:
        print(f"{name:<10} {noticed[name]:>4} of {drawn_in[name]:>4}")
    score = noticed.total() / len(drawn)
    print(f"noticed    {noticed.total():>4} of {len(drawn):>4}: {score:.1%}")
    sys.exit(score < WANTED_SCORE)


if __name__ == "__main__":
    main()
