"""`inference: function`: whole runs whose functions apply the models, in the embedded AWS."""

import csv
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from embedded_aws.sagemaker.inference import load_model
from jobs.sagemaker.recordio import decode
from tests.local.faults import Case, Outcome, deployed, matrix, run_matrix
from tests.local.runs import Run, Runs
from tests.local.test_aborts import APPLY, await_fault, states_of
from tests.reference import CENSUS_2015, needs_recorded_run

pytestmark = pytest.mark.timeout(900)

_HOSTING = ("Endpoint", "Model")


def concerns_hosting(case: Case) -> bool:
    """Return whether a case strikes hosting, or a state that only a deployment with endpoints has."""
    return any(word in " ".join([case.operation, case.during, case.error or "", *case.given]) for word in _HOSTING)


def happens_in_a_successful_run(case: Case) -> bool:
    """Return whether a case strikes the teardown after success, which this mode does not need."""
    return case.operation == "ListTrainingJobs"


CASES = [case for case in matrix() if not concerns_hosting(case) and not happens_in_a_successful_run(case)]


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    with deployed("function") as runs:
        yield runs


@pytest.fixture(scope="module")
def run(runs: Runs) -> Run:
    run = runs.upload("census.csv", CENSUS_2015.read_bytes())
    ended = runs.end(run)
    assert ended["status"] == "SUCCEEDED", ended
    return run


@pytest.fixture(scope="module")
def outcomes(runs: Runs) -> dict[str, Outcome]:
    return {outcome.case.label: outcome for outcome in run_matrix(runs, CASES)}


@needs_recorded_run
class TestTheRecordedFile:
    def test_components_and_labels_equal_those_of_the_endpoints(self, runs: Runs, run: Run) -> None:
        manifest = runs.read_json(run.files.manifest)
        pca = load_model("pca", runs.read(manifest["training_jobs"][0]["artifacts"].split("/", 3)[3]))
        kmeans = load_model("kmeans", runs.read(run.files.refined_model))
        labels: list[int] = []
        for shard in runs.read_json(run.files.shards):
            components = decode(runs.read(run.files.projected_part(shard["part"])))
            served = pca.predict(decode(runs.read(run.files.train_part(shard["part"]))))["projection"]
            largest_first = np.abs(served[:, ::-1][:, : components.shape[1]])
            np.testing.assert_allclose(np.abs(components), largest_first, rtol=0, atol=1e-6)
            labels += [int(label) for label in kmeans.predict(components)["closest_cluster"]]
        labeled = csv.DictReader(io.StringIO(runs.read(run.files.labeled_counties).decode(), newline=""))
        np.testing.assert_array_equal([int(row["label"]) for row in labeled], labels)

    def test_the_manifest_and_the_report_say_what_applied_the_models(self, runs: Runs, run: Run) -> None:
        manifest = runs.read_json(run.files.manifest)
        assert (manifest["inference"], manifest["endpoints"], manifest["endpoint_seconds"]) == ("function", [], 0)
        report = runs.read(run.files.report).decode()
        assert "<dt>Inference</dt><dd>function</dd>" in report

    def test_no_operation_of_hosting_is_called(self, runs: Runs, run: Run) -> None:
        assert not [operation for operation in runs.operations() if any(word in operation for word in _HOSTING)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_the_run_ends_as_expected_with_nothing_left(outcomes: dict[str, Outcome], case: Case) -> None:
    assert outcomes[case.label].complaints() == []


def test_the_janitor_leaves_nothing_wherever_a_successful_run_is_aborted(runs: Runs) -> None:
    machine = runs.client("stepfunctions").describe_state_machine(stateMachineArn=runs.machine)
    passed = (
        "Prepare",
        "Pca",
        "KMeans",
        "Launch",
        "WaitFor",
        "Describe",
        "Is",
        "Project",
        "Label",
        "Choose",
        "Publish",
    )
    failing = ("Failed", "Ended", "TimedOut", "Torn", "Room")
    states = [
        state
        for state in states_of(json.loads(machine["definition"]))
        if state.startswith(passed) and not any(word in state for word in failing) and state not in APPLY
    ]

    def abort(numbered: tuple[int, str]) -> str:
        number, state = numbered
        runs.add_faults(f"State.{state}@stop{number:02}-:slow=300")
        run = runs.upload(f"stop{number:02}.csv")
        await_fault(runs, f"State.{state}", run)
        runs.client("stepfunctions").stop_execution(executionArn=run.execution_arn, error="Test", cause=state)
        return str(runs.end(run)["status"])

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(abort, enumerate(states))) == {"ABORTED"}
    runs.clear_faults()
    assert runs.is_swept("", 90)
    assert runs.leftovers() == []
