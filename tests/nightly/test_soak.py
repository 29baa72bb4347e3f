"""A short soak; ``make soak`` runs a long one."""

import pytest
from rich.console import Console

from tests.soak.__main__ import soak

RUNS = 40


@pytest.mark.timeout(1800)
def test_disturbed_runs_end_as_they_must_and_leave_nothing() -> None:
    assert soak(RUNS, seed=7, at_a_time=8, console=Console(width=160, markup=False, highlight=False))
