"""Lays out the wheel: hatchling calls this hook when it builds one.

The wheel has one top-level package. The rooms of this repository, such as ``infra`` and ``jobs``, are folders of that
package, and their imports of each other are rewritten. The functions' source files are included unchanged, as data.
docs/decisions/0024-one-package-in-the-wheel.md gives the reasons.
"""

import ast
import re
import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

PACKAGE = "census_segmentation"
ROOMS = ("contract", "infra", "jobs", "embedded_aws", "local")
IN_FUNCTIONS = ("contract", "jobs", "lambdas")
FILES = (
    *("app.py", "cdk.json", "constraints.txt", "layers"),
    # The shapes and names of the counties, for `census sample`.
    *("node_modules/us-atlas/counties-10m.json", "node_modules/us-atlas/LICENSE"),
)
# The report's libraries travel once: with the functions, which write the report.
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "vendor")
_MODULE = rf"(?:{'|'.join(ROOMS)})(?:\.\w+)*"
_IMPORT = re.compile(rf"^(\s*(?:from|import) )({_MODULE})(?=\s)", re.MULTILINE)
_NAMED = re.compile(rf'"({_MODULE})"')


class WheelHook(BuildHookInterface[Any]):
    """Adds the rooms to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Stage the package's folder, and have it included."""
        if self.target_name == "wheel":
            staged = Path(self.root, "build", "wheel", PACKAGE)
            shutil.rmtree(staged, ignore_errors=True)
            stage(Path(self.root), staged)
            build_data["force_include"][str(staged)] = PACKAGE


class DependenciesHook(MetadataHookInterface):
    """Derives the extra ``rehearsal`` from requirements.txt."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the pins that are not among the dependencies: the embedded AWS is tested with these versions only."""
        required = {_name(each) for each in metadata["dependencies"]}
        pins = [each for each in pinned(Path(self.root, "requirements.txt")) if _name(each) not in required]
        metadata["optional-dependencies"] = {"rehearsal": pins}


def stage(root: Path, target: Path) -> None:
    """Write the package's folder as the wheel holds it.

    Parameters
    ----------
    root
        The checkout.
    target
        The folder ``census_segmentation`` to write.

    Raises
    ------
    FileNotFoundError
        If the libraries that the report is drawn with are not installed.
    ValueError
        If a module imports a room in a form that cannot be rewritten.
    """
    if not any((root / "jobs" / "vendor").glob("vega*.js")):
        raise FileNotFoundError(f"{root / 'jobs' / 'vendor'} is empty; run npm ci, which fills it")
    shutil.copytree(root / PACKAGE, target, ignore=_LEFT_OUT)
    for room in ROOMS:
        shutil.copytree(root / room, target / room, ignore=_LEFT_OUT)
    for name in FILES:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (root / name).is_dir() else shutil.copyfile
        copy(root / name, target / name)
    for path in target.rglob("*.py"):
        path.write_text(rewrite(path.read_text(encoding="utf-8"), root), encoding="utf-8")
    # After the rewriting, which must not reach what runs in a function.
    for room in IN_FUNCTIONS:
        shutil.copytree(root / room, target / "functions" / room, ignore=shutil.ignore_patterns("__pycache__"))


def rewrite(source: str, root: Path) -> str:
    """Return a module's source with every import and name of a room's module below the package.

    Raises
    ------
    ValueError
        If the module has ``import room.module`` without ``as``: the name that it binds would change.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in ROOMS and alias.asname is None:
                    raise ValueError(f"line {node.lineno}: import {alias.name}; write from … import … instead")

    def named(match: re.Match[str]) -> str:
        path = root.joinpath(*match[1].split("."))
        is_module = "." in match[1] and (path.with_suffix(".py").exists() or (path / "__init__.py").exists())
        return f'"{PACKAGE}.{match[1]}"' if is_module else match[0]

    return _NAMED.sub(named, _IMPORT.sub(rf"\1{PACKAGE}.\2", source))


def pinned(requirements: Path) -> list[str]:
    """Return the requirements of a file and of the files that it includes with ``-r``."""
    found = []
    for line in requirements.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            found += pinned(requirements.parent / line.removeprefix("-r ").strip())
        elif line and not line.startswith("#"):
            found.append(line)
    return found


def _name(requirement: str) -> str:
    """Return the name of a requirement in lower case, without extras and versions."""
    match = re.match(r"[\w.-]+", requirement)
    return match[0].lower().replace("_", "-") if match else ""
