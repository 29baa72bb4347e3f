"""The state machine as a specification: read from the synthesized template, state by state."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonata.jsonata import Jsonata

from infra.definition import all_states, machines, state_machine_definition, successors
from infra.flow import PHASES
from infra.settings import Settings
from tests.infra.synthesis import KMS, ROOT, resources, template_of

TRAINING_PHASES = [phase for phase in PHASES if phase != "Apply"]


@pytest.fixture(scope="module", params=[{}, KMS], ids=["fixed clusters", "clusters chosen"])
def definition(request: pytest.FixtureRequest) -> dict[str, Any]:
    return state_machine_definition(template_of(**request.param))


@pytest.fixture(scope="module")
def default() -> dict[str, Any]:
    return state_machine_definition(template_of())


def tasks(definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: state for name, state in all_states(definition).items() if state["Type"] == "Task"}


def reachable(machine: Mapping[str, Any], start: str) -> set[str]:
    """Return the names of a machine's states that can follow one of them, itself included."""
    seen, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += successors(machine["States"][name])
    return seen


RECORDED = {
    ("Pca", "Training"): 191,
    ("Pca", "Endpoint"): 375,
    ("KMeans", "Training"): 191,
    ("KMeans", "Endpoint"): 440,
}
"""Seconds from creation to ready in the recorded run."""


def poll_times(definition: dict[str, Any], model: str, what: str) -> Iterator[int]:
    """Compute when a loop of the definition asks for a status, in seconds after the launch."""
    states = all_states(definition)
    launch, wait = states[f"Launch{model}{what}"], states[f"WaitFor{model}{what}"]
    assert wait["Next"] == f"Describe{model}{what}"
    field = launch["ResultPath"].removeprefix("$.")
    data = {field: {key: value for key, value in launch["ResultSelector"].items() if not key.endswith(".$")}}
    seconds = 0
    while True:
        yield seconds
        seconds += evaluate(wait["Seconds"], data)
        data = evaluate(wait["Output"], data)
        assert data[field]["waited_seconds"] == seconds


def evaluate(expression: str, state_input: dict[str, Any]) -> Any:
    query = Jsonata(expression.removeprefix("{%").removesuffix("%}").strip())
    query.assign("states", {"input": state_input})
    return query.evaluate(None)


def polls_until(definition: dict[str, Any], model: str, what: str, ready: float) -> list[int]:
    """Return the times of all polls up to the first that finds it ready, in seconds after the launch."""
    times: list[int] = []
    for seconds in poll_times(definition, model, what):
        times.append(seconds)
        if seconds >= ready:
            break
    return times


def room_waits(wait: dict[str, Any], until: int) -> list[int]:
    """Compute the waits for room of a launch that never finds any, in seconds."""
    data: dict[str, Any] = {"run_id": "census-abc"}
    waits: list[int] = []
    while data.get("room", {}).get("waited_seconds", 0) < until:
        waits.append(evaluate(wait["Seconds"], data))
        data = evaluate(wait["Output"], data)
        assert data["run_id"] == "census-abc"
        assert data["room"]["waited_seconds"] == sum(waits)
    return waits


def test_the_waiting_of_a_run_at_the_recorded_pace_takes_at_most_190_transitions(default: dict[str, Any]) -> None:
    polls = [polls_until(default, *thing, ready) for thing, ready in RECORDED.items()]
    assert 3 * sum(map(len, polls)) <= 190


def test_the_definition_is_valid_states_language(definition: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "definition.json"
    file.write_text(json.dumps(definition))
    checked = subprocess.run(
        [ROOT / "node_modules/.bin/asl-validator", "--json-path", file], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_validator_refuses_a_state_that_leads_nowhere(default: dict[str, Any], tmp_path: Path) -> None:
    broken = json.loads(json.dumps(default))
    broken["States"]["Prepare"]["Next"] = "Nowhere"
    file = tmp_path / "definition.json"
    file.write_text(json.dumps(broken))
    checked = subprocess.run(
        [ROOT / "node_modules/.bin/asl-validator", "--json-path", file], capture_output=True, text=True, check=False
    )
    assert checked.returncode != 0


def test_the_machine_is_named_like_the_stack() -> None:
    (machine,) = resources(template_of(), "AWS::StepFunctions::StateMachine").values()
    assert machine["Properties"]["StateMachineName"] == "census-segmentation"


@pytest.mark.parametrize("settings", [{}, {"capacity_wait_seconds": 3_600}, {"inference": "function"}])
def test_the_time_limit_includes_the_longest_waits_for_room_of_both_models(settings: dict[str, Any]) -> None:
    """A model may begin a wait of five minutes just before its waits reach their limit."""
    definition = state_machine_definition(template_of(**settings))
    limits = {
        stage: choice["NumericLessThan"]
        for name, state in all_states(definition).items()
        for stage in ("Pca", "KMeans")
        for choice in state.get("Choices", [])
        if name.startswith(f"MayWaitFor{stage}")
    }
    assert limits == dict.fromkeys(("Pca", "KMeans"), Settings(**settings).capacity_wait_seconds)
    longest = sum(limit + 300 for limit in limits.values())
    assert definition["TimeoutSeconds"] == Settings(**settings).run_timeout_seconds + longest


def test_every_state_can_be_reached(definition: dict[str, Any]) -> None:
    for machine in machines(definition):
        assert reachable(machine, machine["StartAt"]) == set(machine["States"])


def test_every_task_has_a_time_limit_and_retries(definition: dict[str, Any]) -> None:
    for name, task in tasks(definition).items():
        assert task["TimeoutSeconds"] > 0, name
        assert task["Retry"], name


def test_every_retry_backs_off_with_full_jitter_to_a_ceiling(definition: dict[str, Any]) -> None:
    for name, task in tasks(definition).items():
        for retry in task["Retry"]:
            assert retry["JitterStrategy"] == "FULL", name
            assert retry["BackoffRate"] == 2, name
            assert retry["MaxDelaySeconds"] <= 120, name


def test_what_cannot_succeed_is_never_retried(definition: dict[str, Any]) -> None:
    never = ("States.ALL", "States.TaskFailed", "InvalidCensus", "TeardownTimedOut")
    for name, task in tasks(definition).items():
        for error in (error for retry in task["Retry"] for error in retry["ErrorEquals"]):
            assert error not in never, name
            assert not error.startswith(("AccessDenied", "Validation")), name


def test_throttling_and_dead_processes_are_retried_by_every_function_but_the_one_that_fails_on_purpose(
    definition: dict[str, Any],
) -> None:
    for name, task in tasks(definition).items():
        errors = {error for retry in task["Retry"] for error in retry["ErrorEquals"]}
        if task["Resource"].endswith("lambda:invoke"):
            assert {"Lambda.ServiceException", "Runtime.ExitError", "Sandbox.Timedout", "States.Timeout"} <= errors
            assert ({"ThrottlingException", "SlowDown", "ConnectionError"} <= errors) == (name != "RecordFailure")


def test_a_job_or_endpoint_that_cannot_be_described_yet_is_asked_for_again(definition: dict[str, Any]) -> None:
    """SageMaker's Describe operations are eventually consistent; the documents and the service differ in the code."""
    asked = [task for task in tasks(definition).values() if ":sagemaker:" in task["Resource"]]
    assert asked
    for task in asked:
        errors = {error for retry in task["Retry"] for error in retry["ErrorEquals"]}
        assert {"SageMaker.SageMakerException", "SageMaker.ResourceNotFoundException"} <= errors
        assert "SageMaker.SdkClientException" in errors


def test_a_full_quota_is_waited_for_only_where_something_is_launched(definition: dict[str, Any]) -> None:
    for name, task in tasks(definition).items():
        caught = {error for catch in task.get("Catch", []) for error in catch["ErrorEquals"]}
        assert ("QuotaFull" in caught) == name.startswith("Launch"), name
        errors = {error for retry in task["Retry"] for error in retry["ErrorEquals"]}
        assert not {"QuotaFull", "ResourceLimitExceeded"} & errors, name
        assert ("ModelError" in errors) == name.endswith("Shard"), name


def test_a_run_goes_through_its_phases_in_order(default: dict[str, Any]) -> None:
    states, name, walked = default["States"], default["StartAt"], []
    while name:
        walked.append(name)
        name = states[name].get("Next") or states[name].get("Default")
    assert [name for name in walked if name in PHASES] == TRAINING_PHASES
    assert states["Publish"]["End"] is True


def test_a_run_that_applies_a_model_has_one_phase_after_prepare_and_launches_nothing(default: dict[str, Any]) -> None:
    states = default["States"]
    (rule,) = states[states["Prepare"]["Next"]]["Choices"]
    assert (rule["Variable"], rule["StringEquals"], rule["Next"]) == ("$.prepared.mode", "apply", "Apply")
    assert states["Apply"]["End"] is True
    (branch,) = states["Apply"]["Branches"]
    assert list(branch["States"]) == ["Adopt", "LabelByPreviousModel", "PublishApplied"]


@pytest.mark.parametrize("phase", PHASES)
def test_whatever_fails_in_a_phase_is_noted_and_cleaned_up_after(default: dict[str, Any], phase: str) -> None:
    (catch,) = default["States"][phase]["Catch"]
    assert catch == {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": f"Note{phase}Failure"}
    note = default["States"][f"Note{phase}Failure"]
    assert note["Parameters"]["phase"] == phase
    assert note["ResultPath"] == "$.failure"
    assert note["Next"] == "CleanUp"


def test_nothing_outside_a_phase_can_fail_without_being_caught(definition: dict[str, Any]) -> None:
    may_fail = {
        name for name, state in definition["States"].items() if state["Type"] in ("Task", "Parallel", "Map", "Fail")
    }
    uncaught = {name for name in may_fail if not definition["States"][name].get("Catch")}
    assert uncaught == {"RecordFailure"}


def test_cleaning_up_tears_both_models_down_and_a_failure_of_it_does_not_hide_the_first(
    definition: dict[str, Any],
) -> None:
    clean_up = definition["States"]["CleanUp"]
    stages = [
        next(s["Parameters"]["Payload"]["stage"] for s in branch["States"].values() if s["Type"] == "Task")
        for branch in clean_up["Branches"]
    ]
    assert stages == ["pca", "kmeans"]
    assert clean_up["Next"] == "RecordFailure"
    (catch,) = clean_up["Catch"]
    assert catch == {"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure.cleanup", "Next": "RecordFailure"}


def test_a_failed_run_ends_only_by_recording_the_failure(definition: dict[str, Any]) -> None:
    for phase in PHASES:
        after = reachable({"States": definition["States"]}, f"Note{phase}Failure")
        assert {"CleanUp", "RecordFailure", "Resume"} <= after
    assert not any(state["Type"] == "Fail" for state in definition["States"].values())


def test_a_redriven_run_resumes_at_the_phase_that_failed(definition: dict[str, Any]) -> None:
    resumed = {choice["StringEquals"]: choice["Next"] for choice in definition["States"]["Resume"]["Choices"]}
    assert resumed == {phase: phase for phase in PHASES} | {"TearDownKMeans": "StartTearDownKMeans"}


@pytest.mark.parametrize("name", ["Pca", "KMeans", "FailedPca", "FailedKMeans"])
def test_a_teardown_asks_until_nothing_is_pending(definition: dict[str, Any], name: str) -> None:
    states = all_states(definition)
    assert states[f"StartTearDown{name}"]["Parameters"] == {"started.$": "$$.State.EnteredTime"}
    assert states[f"TearDown{name}"]["Next"] == f"Is{name}TornDown"
    (pending,) = states[f"Is{name}TornDown"]["Choices"]
    assert (pending["IsPresent"], pending["Next"]) == (True, f"WaitForTearDown{name}")
    assert states[f"WaitForTearDown{name}"]["Next"] == f"TearDown{name}"


@pytest.mark.parametrize("model", ["Pca", "KMeans"])
@pytest.mark.parametrize("what", ["Training", "Endpoint"])
class TestWaiting:
    def test_it_is_asked_how_it_is_without_a_function(self, definition: dict[str, Any], model: str, what: str) -> None:
        describe = all_states(definition)[f"Describe{model}{what}"]
        operation = {"Training": "describeTrainingJob", "Endpoint": "describeEndpoint"}[what]
        assert describe["Resource"] == f"arn:aws:states:::aws-sdk:sagemaker:{operation}"

    @pytest.mark.parametrize(("pace", "late"), [(0.5, 15), (1, 5), (2, 15)])
    def test_it_is_found_soon_after_it_is_ready(
        self,
        default: dict[str, Any],
        model: str,
        what: str,
        pace: float,
        late: int,
    ) -> None:
        ready = pace * RECORDED[model, what]
        assert polls_until(default, model, what, ready)[-1] - ready <= late

    def test_it_is_asked_once_at_the_start_and_not_again_before_half_the_usual_time(
        self, default: dict[str, Any], model: str, what: str
    ) -> None:
        polls = poll_times(default, model, what)
        assert next(polls) == 0
        assert next(polls) > RECORDED[model, what] / 2

    def test_it_fails_when_it_takes_too_long(self, definition: dict[str, Any], model: str, what: str) -> None:
        choices = all_states(definition)[f"Is{model}{what}Ready"]["Choices"]
        in_time, out_of_time = choices[1], choices[2]
        assert in_time["And"][1]["Variable"].endswith(".waited_seconds")
        assert in_time["And"][1]["NumericLessThan"] == 1_800
        assert in_time["Next"] == f"WaitFor{model}{what}"
        assert out_of_time["Next"] == f"{model}{what}TimedOut"

    def test_while_a_quota_is_full_the_waits_grow_and_vary_until_the_limit(
        self, definition: dict[str, Any], model: str, what: str
    ) -> None:
        states = all_states(definition)
        (catch,) = states[f"Launch{model}{what}"]["Catch"]
        assert (catch["ErrorEquals"], catch["Next"]) == (["QuotaFull"], f"WaitForRoomFor{model}{what}")
        (may_wait,) = states[f"MayWaitFor{model}{what}"]["Choices"]
        assert may_wait == {
            "Variable": "$.room.waited_seconds",
            "NumericLessThan": 14_400,
            "Next": f"Launch{model}{what}",
        }
        no_room = states[states[f"MayWaitFor{model}{what}"]["Default"]]
        assert (no_room["Type"], no_room["Error"], no_room["CausePath"]) == ("Fail", "QuotaFull", "$.full.Cause")
        waits = room_waits(states[f"WaitForRoomFor{model}{what}"], until=14_400)
        assert waits[0] == 30
        assert all(half <= waited <= 2 * half for half, waited in zip([30, 60, 120], waits[1:4], strict=True))
        assert all(150 <= waited <= 300 for waited in waits[4:])
        assert len(set(waits[4:])) > 10

    def test_without_capacity_the_next_instance_type_is_launched(
        self, definition: dict[str, Any], model: str, what: str
    ) -> None:
        (again,) = [
            choice
            for choice in all_states(definition)[f"Is{model}{what}Ready"]["Choices"]
            if choice["Next"] == f"Launch{model}{what}"
        ]
        words = {rule["StringMatches"] for rule in again["And"][2]["Or"]}
        assert words == {"*CapacityError*", "*InsufficientInstanceCapacity*", "*Unable to provision*"}

    def test_any_other_failure_ends_the_phase_with_sagemakers_reason(
        self, definition: dict[str, Any], model: str, what: str
    ) -> None:
        failed = all_states(definition)[f"{model}{what}Failed"]
        error = {"Training": "TrainingJobFailed", "Endpoint": "EndpointFailed"}[what]
        assert (failed["Type"], failed["Error"]) == ("Fail", error)
        assert failed["CausePath"].endswith(".FailureReason")

    def test_a_status_nobody_waits_for_ends_the_phase(self, definition: dict[str, Any], model: str, what: str) -> None:
        assert all_states(definition)[f"Is{model}{what}Ready"]["Default"] == f"{model}{what}Ended"


@pytest.mark.parametrize(("name", "function"), [("Project", "Project"), ("Label", "Label")])
def test_shards_are_read_from_a_file_and_spread_over_a_distributed_map(
    definition: dict[str, Any], name: str, function: str
) -> None:
    each = all_states(definition)[name]
    assert each["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    assert each["ItemReader"]["Parameters"]["Key.$"] == "$.prepared.shards_key"
    assert each["MaxConcurrency"] == 2
    assert "ToleratedFailurePercentage" not in each
    task = each["ItemProcessor"]["States"][f"{name}Shard"]
    assert f"Functions{function}" in task["Parameters"]["FunctionName"]


def test_pca_is_torn_down_beside_kmeans_training(default: dict[str, Any]) -> None:
    starts = [branch["StartAt"] for branch in default["States"]["KMeans"]["Branches"]]
    assert starts == ["TrainKMeans", "ChooseClusters", "StartTearDownPca"]


def test_the_fresh_starts_run_beside_the_training_and_the_refits_beside_the_endpoints_creation(
    default: dict[str, Any],
) -> None:
    states = all_states(default)
    for name, own, companion in (("Train", "Training", "FreshStarts"), ("Host", "Endpoint", "Align")):
        parallel = states[f"{name}KMeans"]
        assert [branch["StartAt"] for branch in parallel["Branches"]] == [f"LaunchKMeans{own}", companion]
        assert parallel["OutputPath"] == "$[0]"
    assert states["TrainKMeans"]["Next"] == "Refine"
    assert states["Refine"]["Next"] == "HostKMeans"
    assert states["Align"]["Next"] == "Stability"
    assert states["HostKMeans"]["Next"] == "Label"


def test_the_refined_artifact_is_hosted_and_labels(default: dict[str, Any]) -> None:
    states = all_states(default)
    assert states["LaunchKMeansEndpoint"]["Parameters"]["Payload"]["artifacts.$"] == "$.refined.artifacts"
    assert states["Label"]["ItemSelector"]["artifacts.$"] == "$.refined.artifacts"


def test_without_refine_the_training_jobs_artifact_is_hosted_untouched() -> None:
    template = template_of(refine=False)
    states = all_states(state_machine_definition(template))
    trained = "$.training.ModelArtifacts.S3ModelArtifacts"
    assert states["LaunchKMeansEndpoint"]["Parameters"]["Payload"]["artifacts.$"] == trained
    assert not {"FreshStarts", "Refine"} & states.keys()
    handlers = {each["Properties"]["Handler"] for each in resources(template, "AWS::Lambda::Function").values()}
    assert not {"lambdas.fresh_starts.handler", "lambdas.refine.handler"} & handlers


def test_kmeans_waits_for_the_elbow_only_when_it_decides() -> None:
    chosen = state_machine_definition(template_of(clusters="auto"))
    starts = [branch["StartAt"] for branch in chosen["States"]["KMeans"]["Branches"]]
    assert starts == ["ChooseClusters", "StartTearDownPca"]
    assert all_states(chosen)["FreshStarts"]["Parameters"]["Payload"]["clusters.$"] == "$.chosen.clusters"
    launch = all_states(chosen)["LaunchKMeansTraining"]["Parameters"]["Payload"]
    assert launch["clusters.$"] == "$.chosen.clusters"


def test_publish_is_given_what_both_models_were_described_as(default: dict[str, Any]) -> None:
    payload = default["States"]["Publish"]["Parameters"]["Payload"]
    for stage in ("pca", "kmeans"):
        assert payload[f"{stage}_training.$"] == f"$.{stage}.training"
        assert payload[f"{stage}_endpoint.$"] == f"$.{stage}.endpoint"
        assert payload[f"{stage}_hosting_launch.$"] == f"$.{stage}.hosting"


def test_every_path_read_was_written_before(definition: dict[str, Any]) -> None:
    """A phase reads only the execution's input and what the phases before it left."""
    # The teardown's own Pass state writes when it started.
    written = {"run_id", "input", "teardown"}
    for name in TRAINING_PHASES:
        phase = definition["States"][name]
        read = {path.split(".")[1] for path in _paths(phase.get("Parameters", {})) if path.startswith("$.")}
        assert read <= written, name
        written.add(phase["ResultPath"].removeprefix("$.").split(".")[0])


def _paths(payload: dict[str, Any]) -> Iterator[str]:
    for key, value in payload.items():
        if isinstance(value, dict):
            yield from _paths(value)
        elif key.endswith(".$"):
            yield value


def test_all_is_logged_but_what_the_states_pass_on() -> None:
    (machine,) = resources(template_of(), "AWS::StepFunctions::StateMachine").values()
    logging = machine["Properties"]["LoggingConfiguration"]
    assert (logging["Level"], logging["IncludeExecutionData"]) == ("ALL", False)
    assert machine["Properties"]["TracingConfiguration"] == {"Enabled": True}
