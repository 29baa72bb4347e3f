"""The decisions' numbers."""

from tools import decisions


def test_every_decision_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in decisions.FOLDER.glob("[0-9]*.md")]
    assert len(set(numbers)) == len(numbers)
