"""The fault matrix in an AWS that behaves as its documents allow, but not as the embedded AWS does by default."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from tests.local.faults import Case, deployed, matrix, run_matrix
from tests.local.runs import Runs


@dataclass(frozen=True)
class Behaviour:
    """How AWS behaves in a whole matrix.

    Attributes
    ----------
    faults
        Faults that are in force during every run.
    rewritten
        A fault of the matrix, and the one that occurs in its place.
    lags
        Whether a new resource cannot be described for a moment. A job may then be done when it is described for the
        first time, so that its run never waits: the cases that strike a waiting run are left out.
    """

    faults: tuple[str, ...] = ()
    rewritten: tuple[str, str] = ("", "")
    lags: bool = False

    def cases(self) -> list[Case]:
        """Return the cases of the matrix, with the faults that occur in place of others."""
        cases = [case for case in matrix() if not (self.lags and case.during.startswith("WaitFor"))]
        return [replace(case, fault=case.fault.replace(*self.rewritten)) for case in cases]


BEHAVIOURS = {
    # The API reference calls lookups and lists eventually consistent.
    "lag": Behaviour(faults=("SageMaker:lag=0.5",), lags=True),
    # The API reference documents this code for a missing resource; in practice it is ValidationException.
    "ResourceNotFound": Behaviour(faults=("SageMaker:not_found=ResourceNotFound", "SageMaker:lag=0.5"), lags=True),
    # A type that the region does not offer is refused as a full quota is, or as "Unsupported instance type".
    "unsupported": Behaviour(rewritten=("quota=", "unsupported=")),
}


@pytest.fixture
def runs() -> Iterator[Runs]:
    with deployed() as runs:
        yield runs


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("behaviour", BEHAVIOURS.values(), ids=BEHAVIOURS)
def test_every_run_of_the_matrix_ends_as_expected_with_nothing_left(runs: Runs, behaviour: Behaviour) -> None:
    runs.add_faults(*behaviour.faults)
    outcomes = list(run_matrix(runs, behaviour.cases()))
    assert {each.case.label: each.complaints() for each in outcomes if each.complaints()} == {}
