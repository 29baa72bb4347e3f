"""Teardown and sweep: what they delete, what they wait for, and what they leave alone."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contract.names import EXECUTION_TAG, RUN_TAG, STACK_TAG
from lambdas import sweep, teardown
from tests.unit.lambdas.conftest import Invoke
from tests.unit.lambdas.fake_aws import FakeAws

RUN = "census-abc"
NAME = f"census-segmentation-{RUN}-pca"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:census-segmentation:census-abc"
TAGS = {STACK_TAG: "census-segmentation", RUN_TAG: RUN, EXECUTION_TAG: EXECUTION}
KINDS = ("TrainingJob", "Endpoint", "EndpointConfig", "Model")


def add(aws: FakeAws, name: str = NAME, *kinds: str, status: str = "InService", **tags: str) -> None:
    """Create resources with a run's tags; keywords replace tags: ``run="other"``."""
    given = TAGS | {f"segmentation:{key}": value for key, value in tags.items()}
    for kind in kinds or KINDS:
        fields = {"TrainingJob": "InProgress", "Endpoint": status}
        state = {f"{kind}Status": fields[kind]} if kind in fields else {}
        aws.add(kind, name, [{"Key": key, "Value": value} for key, value in given.items() if value], **state)


def now(seconds_ago: float = 0) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()


EVENT: dict[str, Any] = {"stage": "pca", "run_id": RUN, "failed": False}


class TestTeardown:
    def test_it_deletes_all_kinds_and_waits_for_those_that_take_time(self, aws: FakeAws, invoke: Invoke) -> None:
        add(aws)
        pending = invoke(teardown.handler, **EVENT, started=now())["pending"]
        assert pending == [f"TrainingJob {NAME} (InProgress)", f"Endpoint {NAME} (InService)"]
        assert aws.resources["TrainingJob", NAME]["TrainingJobStatus"] == "Stopping"
        assert aws.resources["Endpoint", NAME]["EndpointStatus"] == "Deleting"
        assert aws.names("Model") == aws.names("EndpointConfig") == []

    def test_it_asks_once_for_what_is_already_going(self, aws: FakeAws, invoke: Invoke) -> None:
        add(aws)
        invoke(teardown.handler, **EVENT, started=now())
        pending = invoke(teardown.handler, **EVENT, started=now())["pending"]
        assert pending == [f"TrainingJob {NAME} (Stopping)", f"Endpoint {NAME} (Deleting)"]
        assert len(aws.called("DeleteEndpoint")) == len(aws.called("StopTrainingJob")) == 1

    def test_after_a_failure_it_waits_until_lists_show_what_was_created_last(
        self, aws: FakeAws, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            add(aws, NAME, "Model")

        monkeypatch.setattr("lambdas.teardown.time.sleep", sleep)
        event = EVENT | {"failed": True}
        assert invoke(teardown.handler, **event, started=now(0.5)) == {"pending": []}
        assert slept == [pytest.approx(1.5, abs=0.4)]
        assert aws.names("Model") == []
        invoke(teardown.handler, **event, started=now(5))
        invoke(teardown.handler, **EVENT, started=now())
        assert len(slept) == 1

    def test_nothing_left_is_success(self, aws: FakeAws, invoke: Invoke) -> None:
        assert invoke(teardown.handler, **EVENT, started=now(10_000)) == {"pending": []}

    @pytest.mark.parametrize("status", ["Creating", "Updating", "SystemUpdating", "RollingBack"])
    def test_a_busy_endpoint_keeps_its_config_and_model(self, aws: FakeAws, invoke: Invoke, status: str) -> None:
        add(aws, status=status)
        assert len(invoke(teardown.handler, **EVENT, started=now())["pending"]) == 4
        assert aws.called("DeleteEndpoint") == []
        assert aws.names("Model") == aws.names("EndpointConfig") == [NAME]

    @pytest.mark.parametrize(("attempt", "kinds"), [("", ("EndpointConfig", "Model")), ("-2", ("Model",))])
    def test_an_endpoint_that_lists_do_not_show_yet_keeps_its_config_and_model(
        self, aws: FakeAws, invoke: Invoke, attempt: str, kinds: tuple[str, ...]
    ) -> None:
        add(aws, NAME, *kinds)
        add(aws, f"{NAME}{attempt}", "Endpoint", status="Creating")
        aws.unlisted = {f"{NAME}{attempt}"}
        pending = invoke(teardown.handler, **EVENT, started=now())["pending"]
        assert pending[0] == f"Endpoint {NAME}{attempt} (Creating)"
        assert aws.names("Model") == [NAME]
        assert aws.names("EndpointConfig") == ([NAME] if "EndpointConfig" in kinds else [])
        aws.resources["Endpoint", f"{NAME}{attempt}"]["EndpointStatus"] = "InService"
        invoke(teardown.handler, **EVENT, started=now())
        assert aws.resources["Endpoint", f"{NAME}{attempt}"]["EndpointStatus"] == "Deleting"
        assert aws.names("Model") == aws.names("EndpointConfig") == []

    def test_further_attempts_are_the_runs_and_a_run_whose_name_begins_alike_is_not(
        self, aws: FakeAws, invoke: Invoke
    ) -> None:
        add(aws, f"{NAME}-2", "Model")
        add(aws, f"{NAME}-pca", "Model", run=f"{RUN}-pca")
        add(aws, f"{NAME}-x", "Model")
        invoke(teardown.handler, **EVENT, started=now())
        assert aws.names("Model") == [f"{NAME}-pca", f"{NAME}-x"]

    @pytest.mark.parametrize("run", ["", "another-run"])
    def test_a_foreign_resource_of_the_runs_name_stays(self, aws: FakeAws, invoke: Invoke, run: str) -> None:
        add(aws, run=run)
        assert invoke(teardown.handler, **EVENT, started=now()) == {"pending": []}
        assert [kind for kind, _ in aws.resources] == list(KINDS)
        assert aws.resources["Endpoint", NAME]["EndpointStatus"] == "InService"

    def test_after_the_time_limit_it_fails_and_names_what_is_left(
        self, aws: FakeAws, invoke: Invoke, metrics: Callable[[], dict[str, float]]
    ) -> None:
        add(aws, NAME, "Endpoint", status="Creating")
        assert invoke(teardown.handler, **EVENT, started=now(1700))["pending"]
        assert metrics() == {}
        add(aws, NAME, "Model")
        with pytest.raises(Exception, match="still there") as late:
            invoke(teardown.handler, **EVENT, started=now(1900))
        assert type(late.value).__name__ == "TeardownTimedOut"
        assert re.sub(r"\d+ s:", "… s:", str(late.value)) == (
            f"still there after … s: Endpoint {NAME} (Creating), Model {NAME}; the janitor goes on every 15 minutes, "
            "or delete them by hand (docs/operations.md)"
        )
        assert metrics() == {"TeardownTimeouts": 1}

    def test_one_that_cannot_be_deleted_does_not_keep_the_others(self, aws: FakeAws, invoke: Invoke) -> None:
        add(aws, NAME, "EndpointConfig", "Model")
        aws.refusals["DeleteEndpointConfig", NAME] = ("AccessDeniedException", "not allowed")
        with pytest.raises(Exception, match="not allowed"):
            invoke(teardown.handler, **EVENT, started=now())
        assert aws.names("Model") == []

    @pytest.mark.parametrize("code", ["ValidationException", "ResourceNotFound"])
    def test_one_that_went_since_it_was_listed_is_no_error(self, aws: FakeAws, invoke: Invoke, code: str) -> None:
        add(aws, NAME, "Model")
        aws.refusals["DeleteModel", NAME] = (code, "no such model")
        assert invoke(teardown.handler, **EVENT, started=now()) == {"pending": []}
        aws.refusals = {("ListTags", NAME): (code, "no such model")}
        assert invoke(teardown.handler, **EVENT, started=now()) == {"pending": []}

    def test_without_the_right_to_read_tags_it_fails(self, aws: FakeAws, invoke: Invoke) -> None:
        add(aws, NAME, "Model")
        aws.refusals["ListTags", NAME] = ("AccessDeniedException", "not allowed")
        with pytest.raises(Exception, match="ListTags: not allowed"):
            invoke(teardown.handler, **EVENT, started=now())


class TestLogsOfEndpoints:
    def test_they_are_kept_as_long_as_the_settings_say_and_then_deleted(self, aws: FakeAws, invoke: Invoke) -> None:
        group, day = "/aws/sagemaker/Endpoints/census-segmentation-census-{}-pca", 86_400_000
        today = int(datetime.now(UTC).timestamp() * 1_000)
        foreign = ["/aws/sagemaker/Endpoints/census-segmentation-notes", "/aws/sagemaker/Endpoints/other-x-pca"]
        aws.log_groups = {
            group.format("old"): {"creationTime": today - 31 * day, "retentionInDays": 30},
            group.format("new"): {"creationTime": today - day},
            group.format("set"): {"creationTime": today - day, "retentionInDays": 30},
            **{name: {"creationTime": today - 31 * day} for name in foreign},
        }
        invoke(sweep.handler)
        assert {name: each.get("retentionInDays") for name, each in aws.log_groups.items()} == {
            group.format("new"): 30,
            group.format("set"): 30,
            **dict.fromkeys(foreign),
        }
        assert len(aws.called("PutRetentionPolicy")) == 1

    def test_a_refusal_does_not_stop_the_sweep(self, aws: FakeAws, invoke: Invoke) -> None:
        add(aws, NAME, "Model")
        aws.refusals["DescribeLogGroups", ""] = ("AccessDeniedException", "not allowed")
        with pytest.raises(Exception, match="DescribeLogGroups: not allowed"):
            invoke(sweep.handler)
        assert aws.names("Model") == []


class TestSweep:
    @pytest.mark.parametrize("status", ["", "FAILED", "ABORTED", "TIMED_OUT", "SUCCEEDED"])
    def test_what_no_running_execution_owns_is_deleted_and_counted(
        self, aws: FakeAws, invoke: Invoke, metrics: Callable[[], dict[str, float]], status: str
    ) -> None:
        add(aws)
        if status:
            aws.executions[EXECUTION] = {"executionArn": EXECUTION, "status": status}
        result = invoke(sweep.handler)
        assert len(result["found"]) == 4
        assert result["pending"] == [f"TrainingJob {NAME} (InProgress)", f"Endpoint {NAME} (InService)"]
        assert metrics() == {"LeaksFound": 4}

    def test_a_running_executions_resources_stay(
        self, aws: FakeAws, invoke: Invoke, metrics: Callable[[], dict[str, float]]
    ) -> None:
        add(aws)
        aws.executions[EXECUTION] = {"executionArn": EXECUTION, "status": "RUNNING"}
        assert invoke(sweep.handler) == {"found": [], "pending": []}
        assert metrics() == {"LeaksFound": 0}
        assert len(aws.called("DescribeExecution")) == 1  # once for all four

    @pytest.mark.parametrize("stack", ["", "another-stack", "census-segmentation-two"])
    def test_what_does_not_carry_the_stacks_tag_stays(self, aws: FakeAws, invoke: Invoke, stack: str) -> None:
        add(aws, stack=stack)
        assert invoke(sweep.handler)["found"] == []

    def test_an_execution_of_another_machine_does_not_protect(self, aws: FakeAws, invoke: Invoke) -> None:
        other = EXECUTION.replace(":census-segmentation:", ":other:")
        aws.executions[other] = {"executionArn": other, "status": "RUNNING"}
        add(aws, NAME, "Model", execution=other)
        assert invoke(sweep.handler)["found"] == [f"Model {NAME}"]
        assert aws.called("DescribeExecution") == []

    def test_one_run_that_cannot_be_deleted_does_not_keep_another(self, aws: FakeAws, invoke: Invoke) -> None:
        add(aws, NAME, "Model")
        add(aws, f"{NAME}x", "Model", run="census-abcx")
        aws.refusals["DeleteModel", f"'{NAME}'"] = ("AccessDeniedException", "not allowed")
        with pytest.raises(Exception, match="not allowed"):
            invoke(sweep.handler)
        assert aws.names("Model") == [NAME]

    def test_one_run_with_a_busy_endpoint_does_not_keep_another(self, aws: FakeAws, invoke: Invoke) -> None:
        add(aws, NAME, "Endpoint", "Model", status="Creating")
        add(aws, f"{NAME}x", "Model", run="census-abcx")
        assert invoke(sweep.handler)["pending"] == [f"Endpoint {NAME} (Creating)", f"Model {NAME}"]
        assert aws.names("Model") == [NAME]

    def test_an_error_other_than_not_found_is_not_hidden(self, aws: FakeAws, invoke: Invoke) -> None:
        add(aws, NAME, "Model")
        aws.refusals["DescribeExecution", ""] = ("AccessDeniedException", "not allowed")
        with pytest.raises(Exception, match="DescribeExecution: not allowed"):
            invoke(sweep.handler)
        assert aws.names("Model") == [NAME]
