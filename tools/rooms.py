"""Print which rooms import which: ``python -m tools.rooms``.

A room is a top-level package or one of its folders. A circle of modules, inside a room or across rooms, is an error.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PACKAGES = ("contract", "infra", "lambdas", "jobs", "embedded_aws", "local")


def module_imports() -> dict[str, set[str]]:
    """Return the modules of this project that each of its modules imports directly."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


def circle(imports: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the modules of one circle in the order of its imports, or an empty list if there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found[::-1]
    return []


def room_imports(imports: Mapping[str, Iterable[str]], root: Path = ROOT) -> dict[str, set[str]]:
    """Return the other rooms that each room imports."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for module, imported in imports.items():
        found[room(module, root)] |= {room(each, root) for each in imported} - {room(module, root)}
    return dict(found)


def room(module: str, root: Path = ROOT) -> str:
    """Return the room of a module: ``jobs.census`` for ``jobs.census.cells``, ``infra`` for ``infra.stack``."""
    parts = module.split(".")
    return ".".join(parts[:2]) if len(parts) > 1 and (root / parts[0] / parts[1]).is_dir() else parts[0]


def main() -> None:
    """Print a line for each room."""
    imports = module_imports()
    for importer, imported in sorted(room_imports(imports).items()):
        print(f"{importer:<32} -> {', '.join(sorted(imported)) or 'nothing of ours'}")
    if found := circle(imports):
        sys.exit(f"a circle of imports: {' -> '.join(found)}")


if __name__ == "__main__":
    main()
