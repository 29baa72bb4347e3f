"""The documents show the examples as they are."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_on_rehearsals_shows_the_test_of_the_example() -> None:
    example = (ROOT / "examples" / "rehearsal" / "test_app.py").read_text(encoding="utf-8")
    body = example.partition('"""\n\n')[2]
    assert f"```python\n{body}```" in (ROOT / "docs" / "rehearsal.md").read_text(encoding="utf-8")
