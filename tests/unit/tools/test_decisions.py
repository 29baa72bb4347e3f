"""The list of decisions is complete."""

from tools import decisions


def test_the_list_of_decisions_is_up_to_date() -> None:
    assert decisions.PAGE.read_text(encoding="utf-8") == decisions.render(), "run python -m tools.decisions"


def test_every_decision_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in decisions.FOLDER.glob("[0-9]*.md")]
    assert len(set(numbers)) == len(numbers)
