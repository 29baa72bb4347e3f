"""Small uploads that are large or misleading when they are read: Prepare's time and memory stay limited."""

import pytest

from bench.bombs import BOMBS, Bomb, measure


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
def test_a_bomb_takes_at_most_a_gigabyte_and_a_minute_and_its_sender_is_told_why(bomb: Bomb) -> None:
    assert measure(bomb).verdict == bomb.verdict
