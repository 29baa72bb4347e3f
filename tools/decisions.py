"""Write the list of decisions: ``python -m tools.decisions`` writes docs/decisions/README.md."""

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "decisions"
PAGE = FOLDER / "README.md"

_HEAD = """# Decisions

Each page records one choice with its reasons and what was considered instead. `python -m tools.decisions` writes this
list. A new page takes the next free number.

"""


def render() -> str:
    """Return the list, with the title of each page."""
    titles = {path.name: path.read_text(encoding="utf-8").partition("\n")[0] for path in FOLDER.glob("[0-9]*.md")}
    return _HEAD + "".join(f"- [{title.removeprefix('# ')}]({name})\n" for name, title in sorted(titles.items()))


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
