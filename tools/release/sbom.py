"""Writes CycloneDX lists of the packages that a release contains or installs."""

import email
import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import distribution, requires
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from packaging.requirements import Requirement


def packages_in_zips(paths: Iterable[Path]) -> dict[str, str]:
    """Return the version of each Python package in zip files, such as the layers'; keys are names in lower case."""
    found = {}
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".dist-info/METADATA"):
                    metadata = email.message_from_bytes(archive.read(name))
                    found[_normal(metadata["Name"])] = metadata["Version"]
    return found


def packages_installed_by(requirements: Iterable[str]) -> dict[str, str]:
    """Return the version of each package that requirements install, as they are installed in this environment.

    Raises
    ------
    importlib.metadata.PackageNotFoundError
        If a requirement is not installed here.
    """
    found: dict[str, str] = {}
    waiting = [(Requirement(each), "") for each in requirements]
    seen = set()
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = _normal(requirement.name)
        found[name] = distribution(name).version
        for each in ("", *requirement.extras):
            if (name, each) not in seen:
                seen.add((name, each))
                waiting += [(Requirement(text), each) for text in requires(name) or ()]
    return found


def packages_in_lock(lock: Path, roots: Iterable[str]) -> dict[str, str]:
    """Return the version of each npm package that some packages of a package-lock.json need, those included."""
    packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    found: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        package = packages[f"node_modules/{name}"]
        if name not in found:
            found[name] = package["version"]
            waiting += package.get("dependencies", {})
    return found


def write_sbom(path: Path, product: tuple[str, str], kind: str, packages: Mapping[str, str]) -> None:
    """Write a CycloneDX 1.6 document.

    Parameters
    ----------
    path
        The file to write.
    product
        The name and the version of what contains the packages.
    kind
        The type of the packages' URLs: ``pypi`` or ``npm``.
    packages
        The version of each package by name.
    """
    components = []
    for name, version in sorted(packages.items()):
        namespace, _, plain = name.rpartition("/")
        url = PackageURL(kind, namespace or None, plain, version)
        components.append(Component(name=name, version=version, type=ComponentType.LIBRARY, purl=url, bom_ref=str(url)))
    bom = Bom(components=components)
    whole = Component(name=product[0], version=product[1], type=ComponentType.APPLICATION, bom_ref=product[0])
    bom.metadata.component = whole
    bom.register_dependency(whole, components)
    text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def _normal(name: str) -> str:
    """Return a package's name as the package index spells it.

    https://packaging.python.org/en/latest/specifications/name-normalization/
    """
    return re.sub(r"[-_.]+", "-", name).lower()
