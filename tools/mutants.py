"""Measure how many small faults in the code the unit tests notice.

``make mutants`` draws a seeded sample of the mutants that cosmic-ray's operators make of ``jobs/``, ``contract/`` and
``lambdas/``, and of strings changed to another, runs ``tests/unit`` on each and prints those that no test noticed.
Mutants that change nothing observable are listed with the reason in ``tests/equivalent_mutants.json`` and left out.

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
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
EQUIVALENT = ROOT / "tests" / "equivalent_mutants.json"
PYTHON = ROOT / ".venv" / "bin" / "python"
WANTED_SCORE = 0.9
# Operators whose mutants fail on import or change no behavior that this project is responsible for.
LEFT_OUT = ("core/RemoveDecorator", "core/ExceptionReplacer", "core/VariableReplacer", "core/VariableInserter")
SECONDS = 600


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

    def difference(self) -> tuple[str, str]:
        """Return the changed lines before and after."""
        before = (ROOT / self.file).read_text(encoding="utf-8").splitlines()
        after = (self.mutated() or "").splitlines()
        changed = list(difflib.unified_diff(before, after, lineterm="", n=0))[3:]
        parts = ("\n".join(line[1:].strip() for line in changed if line[0] == sign) for sign in "-+")
        return next(parts), next(parts)


@cache
def operators() -> dict[str, Operator]:
    """Return the operators by name."""
    names = [name for name in operator_names() if not name.startswith(LEFT_OUT)]
    return {name: get_operator(name)() for name in names} | {"string": StringReplacer()}


def spans_without_behaviour(tree: ast.AST) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the start and end of each annotation and docstring, in which a change does not affect behavior."""
    found: list[ast.AST | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            found += [node.returns, *(each.annotation for each in ast.walk(node.args) if isinstance(each, ast.arg))]
        elif isinstance(node, ast.AnnAssign):
            found.append(node.annotation)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
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
    random.Random(seed).shuffle(everything)  # noqa: S311
    known = {(each["file"], each["before"], each["after"]) for each in json.loads(EQUIVALENT.read_text())}
    drawn: dict[tuple[str, tuple[int, int]], Mutant] = {}
    for mutant in everything:
        place = (mutant.file, mutant.place)
        if len(drawn) < size and place not in drawn and (mutant.file, *mutant.difference()) not in known:
            drawn[place] = mutant
    print(f"{len(drawn)} of {len(everything):,} mutants, seed {seed}")
    return list(drawn.values())


class Copies:
    """Copies of the project, each of which tests one mutant at a time."""

    def __init__(self, folder: Path, count: int) -> None:
        self._free: SimpleQueue[Path] = SimpleQueue()
        for number in range(count):
            copy = folder / str(number)
            copy.mkdir()
            tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
            for name in filter(None, tracked.decode().split("\0")):
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, copy / name)
            for name in (".venv", "node_modules", "jobs/vendor"):
                (copy / name).symlink_to((ROOT / name).resolve())
            self._free.put(copy)

    def notices(self, mutant: Mutant) -> bool:
        """Return whether the unit tests fail with this mutant; the nearest tests run first."""
        copy = self._free.get()
        target = copy / mutant.file
        original = target.read_text(encoding="utf-8")
        try:
            target.write_text(mutant.mutated() or original, encoding="utf-8")
            return run_tests(copy, nearest_tests(copy, mutant.file))
        finally:
            target.write_text(original, encoding="utf-8")
            self._free.put(copy)


def nearest_tests(copy: Path, file: str) -> list[str]:
    """Return the test folders in the order to run them: first that of the file's own package, then the others."""
    room = copy / "tests" / "unit" / Path(file).parent
    while not room.is_dir():
        room = room.parent
    return [str(room), *(str(copy / "tests" / "unit" / folder) for folder in FOLDERS)]


def run_tests(copy: Path, tests: list[str]) -> bool:
    """Run tests until one fails, and return whether one failed or the time limit was exceeded."""
    variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "CENSUS_CSV": str(census())}
    command = [str(PYTHON), "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", *tests]
    try:
        done = subprocess.run(command, cwd=copy, env=variables, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def census() -> Path:
    """Return the path of the recorded run's file; tests that need it are skipped if it does not exist."""
    beside = ROOT.parent / "shared" / "data" / "Census_Data_for_SageMaker.csv"
    return Path(os.environ.get("CENSUS_CSV", beside))


def main() -> None:
    """Print the mutants that no test noticed and the scores; fail if the score is below :data:`WANTED_SCORE`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=400)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    drawn = sample(given.sample, given.seed)
    noticed, drawn_in = Counter[str](), Counter(mutant.file.split("/")[0] for mutant in drawn)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(given.processes) as pool:
        copies = Copies(Path(folder), given.processes)
        if run_tests(ROOT, nearest_tests(ROOT, "contract/names.py")[1:]):
            sys.exit("The unit tests fail without any mutant; fix them first.")
        for mutant, found in zip(drawn, pool.map(copies.notices, drawn), strict=True):
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
