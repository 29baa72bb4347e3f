"""The documents lead to what exists, and repeat what the code says."""

import re
from pathlib import Path

import pytest

from bench.bombs import BOMBS

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_or_folder(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
    dead = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert dead == []


def test_every_page_is_reached_from_the_first_page() -> None:
    first = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/README.md"))
    assert [path.name for path in (ROOT / "docs").glob("*.md") if path.name not in first] == []


def test_every_test_that_the_security_page_names_exists() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"\[`(test_\w+)`\]\(\.\./(tests/[\w/]+\.py)\)", page)
    assert len(named) == page.count("`test_") > 20
    assert [name for name, path in named if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")] == []


def test_the_security_page_lists_what_the_sender_of_each_hostile_file_is_told() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = [re.split(r" *\| *", line)[1:-1] for line in page.splitlines() if line.startswith("| ")]
    listed = {row[0]: (row[2], row[-1]) for row in rows if len(row) == 6}
    assert {bomb.name: (f"{bomb.size:,}", bomb.verdict) for bomb in BOMBS}.items() <= listed.items()
