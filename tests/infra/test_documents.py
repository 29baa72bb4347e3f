"""What is generated into docs/ is up to date."""

from infra import diagram, settings_docs
from tests.infra.synthesis import template_of


def test_the_settings_page_describes_the_settings_as_they_are() -> None:
    assert settings_docs.PAGE.read_text() == settings_docs.render(), "run python -m infra.settings_docs"


def test_every_setting_says_what_it_does() -> None:
    rows = [line for line in settings_docs.render().splitlines() if line.startswith("| `")]
    assert all(len(row.split(" | ")[4]) > 20 for row in rows)


def test_the_picture_of_the_flow_is_drawn_from_the_template_as_it_is() -> None:
    assert diagram.PICTURE.read_text() == diagram.draw(template_of()), "run python -m infra.diagram"
