"""`inference: function`: the template without hosting."""

import json
from typing import Any

import pytest

from infra.definition import all_states, machines, state_machine_definition
from tests.infra.synthesis import resources, template_of
from tests.infra.test_workflow import RECORDED, polls_until


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return template_of(inference="function")


@pytest.fixture(scope="module")
def definition(template: dict[str, Any]) -> dict[str, Any]:
    return state_machine_definition(template)


def actions(template: dict[str, Any]) -> set[str]:
    """Return every action that a policy of the template allows."""
    found: set[str] = set()
    for policy in resources(template, "AWS::IAM::Policy").values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            action = statement["Action"]
            found |= {action} if isinstance(action, str) else set(action)
    return found


def test_no_permission_concerns_hosting(template: dict[str, Any]) -> None:
    used = {action for action in actions(template) if action.startswith("sagemaker:")}
    assert used == {
        "sagemaker:AddTags",
        "sagemaker:CreateTrainingJob",
        "sagemaker:DescribeTrainingJob",
        "sagemaker:ListTags",
        "sagemaker:ListTrainingJobs",
        "sagemaker:StopTrainingJob",
    }


def test_hosting_has_permissions_by_default() -> None:
    assert {"sagemaker:CreateEndpoint", "sagemaker:InvokeEndpoint"} <= actions(template_of())


def test_there_is_no_function_that_launches_endpoints(template: dict[str, Any]) -> None:
    handlers = {each["Properties"]["Handler"] for each in resources(template, "AWS::Lambda::Function").values()}
    assert "lambdas.launch_training.handler" in handlers
    assert "lambdas.launch_endpoint.handler" not in handlers


def test_no_state_launches_or_awaits_an_endpoint(definition: dict[str, Any]) -> None:
    assert "endpoint" not in json.dumps(definition).lower()


def test_a_successful_run_goes_from_kmeans_to_publish(definition: dict[str, Any]) -> None:
    assert definition["States"]["KMeans"]["Next"] == "Publish"


def test_the_waiting_of_a_run_takes_a_third_of_the_time(definition: dict[str, Any]) -> None:
    def waited(definition: dict[str, Any], *what: str) -> int:
        return sum(polls_until(definition, *thing, ready)[-1] for thing, ready in RECORDED.items() if thing[1] in what)

    hosted = state_machine_definition(template_of())
    assert waited(definition, "Training") <= 0.33 * waited(hosted, "Training", "Endpoint")


def test_a_failed_run_still_stops_both_training_jobs(definition: dict[str, Any]) -> None:
    assert {"TearDownFailedPca", "TearDownFailedKMeans"} <= set(all_states(definition))


def test_the_definition_has_no_state_that_cannot_be_reached(definition: dict[str, Any]) -> None:
    for machine in machines(definition):
        named = json.dumps(machine)
        for name in machine["States"]:
            assert f'"{name}"' in named.replace(f'"{name}": {{', ""), name
