"""The site of the documents: it is built without a warning, and its pages request nothing from other servers."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import browser

ROOT = Path(__file__).parents[2]
READERS = ("deploying", "operations", "reading-a-report", "contributing")
"""The first page of each kind of reader."""

pytestmark = pytest.mark.slow


def build(target: Path, *, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)]
    variables = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    done = build(folder)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


def test_the_first_page_of_every_reader_is_in_the_navigation(site: Path, chromium: Browser) -> None:
    page = chromium.new_page()
    page.goto((site / "index.html").as_uri())
    tabs = page.locator(".md-tabs__link")
    linked = [(tabs.nth(each).get_attribute("href") or "").removesuffix(".html") for each in range(tabs.count())]
    assert set(READERS) <= set(linked)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_requests_anything_from_another_server(site: Path, chromium: Browser, scheme: Any) -> None:
    page = chromium.new_page(color_scheme=scheme)
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    for name in ("index", "errors", "architecture", *READERS):
        page.goto((site / f"{name}.html").as_uri())
        page.wait_for_load_state("networkidle")
    assert len(requested) > 10
    assert [url for url in requested if not url.startswith(("file:", "data:"))] == []


def test_a_link_to_a_source_leads_to_a_page_that_shows_it(site: Path) -> None:
    assert "sources/examples/rehearsal.html" in (site / "rehearsal.html").read_text(encoding="utf-8")
    assert "CreateTrainingJob:throttle" in (site / "sources" / "examples" / "rehearsal.html").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("link", ["missing.md", "../missing.py", "settings.md#missing"])
def test_a_dead_link_is_an_error(tmp_path: Path, link: str) -> None:
    for name in ("mkdocs.yml", "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("docs", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("tests", "examples", "infra"):
        (tmp_path / name).symlink_to(ROOT / name)
    with (tmp_path / "docs" / "cost.md").open("a", encoding="utf-8") as page:
        page.write(f"\n[a dead link]({link})\n")
    done = build(tmp_path / "site", root=tmp_path)
    assert done.returncode != 0
    assert link.rpartition("#")[2].removeprefix("../") in done.stderr
