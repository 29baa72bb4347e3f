"""The fault matrix: whatever fault occurs in SageMaker or S3, the run ends as expected and leaves nothing behind.

``make test`` tries each fault in one of the two stages; ``make nightly`` and ``make faults`` try each in both.
"""

import json
from collections.abc import Iterator

import pytest

from tests.local.faults import EVERY_CASE, PHASES, STAGES, Case, Outcome, deployed, in_one_stage, matrix, run_matrix
from tests.local.runs import Runs

# The matrix is run as a whole, in the first test that asks for an outcome.
pytestmark = pytest.mark.timeout(900)

MATRIX = matrix() if EVERY_CASE else in_one_stage(matrix())


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    with deployed() as runs:
        yield runs


@pytest.fixture(scope="module")
def outcomes(runs: Runs) -> dict[str, Outcome]:
    return {outcome.case.label: outcome for outcome in run_matrix(runs, MATRIX)}


def test_at_least_eighty_cases_each_of_its_own() -> None:
    assert len(MATRIX) >= 80
    assert len({case.label for case in MATRIX}) == len(MATRIX)


def test_both_stages_are_struck_alike() -> None:
    struck = {stage: {(case.operation, case.fault) for case in matrix() if case.stage == stage} for stage in STAGES}
    assert struck["pca"] == struck["kmeans"] == {(case.operation, case.fault) for case in MATRIX}


@pytest.mark.parametrize("case", MATRIX, ids=lambda case: case.label)
def test_the_run_ends_as_expected_with_nothing_left(outcomes: dict[str, Outcome], case: Case) -> None:
    assert outcomes[case.label].complaints() == []


def test_every_operation_that_runs_call_is_struck(outcomes: dict[str, Outcome], runs: Runs) -> None:
    """The matrix ran every kind of success and failure: what it called is what the stack uses."""
    struck = {case.operation for case in MATRIX}
    assert runs.operations() - struck == set()


def test_nothing_at_all_is_left_in_sagemaker(outcomes: dict[str, Outcome], runs: Runs) -> None:
    assert runs.leftovers() == []


@pytest.mark.parametrize(("operation", "first"), [("TrainingJob", "ml.c4.xlarge"), ("Endpoint", "ml.t2.medium")])
def test_the_manifest_says_which_instance_type_served(
    outcomes: dict[str, Outcome], runs: Runs, operation: str, first: str
) -> None:
    found = outcomes_of(outcomes, f"Create{operation}", f"quota={first}")
    manifests = [json.dumps(runs.read_json(outcome.run.files.manifest)) for outcome in found]
    assert all("ml.m5.large" in manifest for manifest in manifests), manifests


def test_a_failed_run_says_why_and_what_remains(outcomes: dict[str, Outcome], runs: Runs) -> None:
    for outcome in outcomes_of(outcomes, "TrainingJob", "failed=why"):
        phase = PHASES[outcome.case.stage]
        failure = runs.read_json(outcome.run.files.failure)
        assert (failure["phase"], failure["error"], failure["cause"]) == (phase, "TrainingJobFailed", "why")
        assert failure["cleanup"] is None

    for outcome in outcomes_of(outcomes, "DeleteModel", "denied"):
        unclean = runs.read_json(outcome.run.files.failure)
        assert unclean["error"] == "AccessDeniedException"
        assert unclean["cleanup"].startswith("AccessDeniedException")


def outcomes_of(outcomes: dict[str, Outcome], operation: str, fault: str) -> list[Outcome]:
    """Return the outcomes of a fault: one per stage that was tried."""
    found = [each for each in outcomes.values() if (each.case.operation, each.case.fault) == (operation, fault)]
    assert found, (operation, fault)
    return found
