"""MkDocs hooks: pages for the files outside docs/ that the documents link to.

In the repository, documents link to files such as ``../CONTRIBUTING.md`` and ``../tests/infra/test_stack.py``. In the
site, the first become pages, and of the others a page shows the source, so that every link leads to something that the
site contains. MkDocs, which is strict, fails on a link to anything else.

https://www.mkdocs.org/dev-guide/plugins/#events
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PAGES = {
    "README.md": "about.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "vulnerabilities.md",
    "CHANGELOG.md": "changelog.md",
}
"""Documents in the root folder, and the page that each becomes."""
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
_LANGUAGES = {".py": "python", ".md": "markdown", ".yml": "yaml", ".json": "json", ".sh": "sh"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each document in the root folder, and for each source that a document links to."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    for page_file in list(files.documentation_pages()):
        folder = _folder_of(page_file.src_uri)
        for path, _ in _LINK.findall(page_file.content_string):
            source = posixpath.normpath(posixpath.join(folder, path))
            page = _page_of(source)
            if page.startswith("sources/") and (ROOT / source).exists() and files.get_file_from_path(page) is None:
                files.append(File.generated(config, page, content=_listing(source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to files of the repository lead to their pages."""
    if page.file.src_uri.startswith("sources/"):
        return markdown
    folder = _folder_of(page.file.src_uri)

    def linked(match: re.Match[str]) -> str:
        target = _page_of(posixpath.normpath(posixpath.join(folder, match[1])))
        relative = posixpath.relpath(target, posixpath.dirname(page.file.src_uri) or ".")
        return f"{relative}{match[2] or ''}"

    return _LINK.sub(linked, markdown)


def _folder_of(page: str) -> str:
    """Return the folder, in the repository, of the document that a page is made from."""
    return "" if page in PAGES.values() else posixpath.join("docs", posixpath.dirname(page))


def _page_of(path: str) -> str:
    """Return the file of the site, in terms of docs/, for a file of the repository."""
    if path in ("docs", "docs/decisions"):
        path = f"{path}/README.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return PAGES.get(path, f"sources/{path}.md")


def _listing(source: str) -> str:
    """Return a page with the source of a file, or of the files in a folder."""
    path = ROOT / source
    shown = [path] if path.is_file() else sorted(each for each in path.iterdir() if each.is_file())
    parts = [f"# {source}\n"]
    for each in shown:
        heading = f"\n## {each.name}\n" if path.is_dir() else ""
        text = each.read_text(encoding="utf-8").rstrip()
        parts.append(f"{heading}\n``````{_LANGUAGES.get(each.suffix, 'text')}\n{text}\n``````\n")
    return "".join(parts)
