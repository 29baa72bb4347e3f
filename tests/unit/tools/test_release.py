"""The parts of a release that need no AWS."""

import zipfile
from pathlib import Path

import pytest

from tools.release.__main__ import notes_of
from tools.release.sbom import packages_in_zips

CHANGELOG = """# Changelog

## Unreleased
- Later.

## 1.1.0 - 2026-12-01
### Added
- This.

## 1.0.0 - 2026-11-23
- That.
"""


def test_the_notes_are_the_versions_section_of_the_changelog() -> None:
    assert notes_of("1.1.0", CHANGELOG) == "### Added\n- This.\n"
    assert notes_of("1.0.0", CHANGELOG) == "- That.\n"


def test_a_version_that_the_changelog_does_not_have_is_refused() -> None:
    with pytest.raises(LookupError, match=r"no section '## 1\.2\.0 - <date>'; rename Unreleased"):
        notes_of("1.2.0", CHANGELOG)


def test_the_packages_of_a_layer_are_read_from_its_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "layer.zip", "w") as layer:
        layer.writestr("python/smart_open-9.0.2.dist-info/METADATA", "Name: smart_open\nVersion: 9.0.2\n\ntext")
        layer.writestr("python/smart_open/__init__.py", "")
    assert packages_in_zips(tmp_path.glob("*.zip")) == {"smart-open": "9.0.2"}
