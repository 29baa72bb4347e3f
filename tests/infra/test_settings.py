"""What a setting may be, and what synth says about one that can't."""

import json
import subprocess
import sys
from dataclasses import asdict, fields
from typing import Any

import pytest

from contract.run_settings import RunParameters, RunSettings
from embedded_aws.sagemaker.endpoint_lives import STUCK_SECONDS
from infra.settings import HISTORY_EVENT_LIMIT, SETTING_NAMES, Settings, SettingsError
from tests.infra.synthesis import ROOT


def settings(**values: Any) -> Settings:
    return Settings.from_context({"segmentation": values})


def test_cdk_json_holds_only_settings_that_differ_from_their_defaults() -> None:
    given = json.loads((ROOT / "cdk.json").read_text())["context"]["segmentation"]
    defaults = asdict(Settings())
    assert [name for name, value in given.items() if defaults[name] == value] == []


def test_a_setting_that_handlers_need_reaches_them_by_being_declared_once() -> None:
    parameters = Settings(clusters=5).run_parameters()
    assert parameters["clusters"] == 5
    assert set(parameters) == {each.name for each in fields(RunParameters)} < set(SETTING_NAMES)
    assert parameters == {each.name: parameters[each.name] for each in fields(RunSettings) if each.name in parameters}


def test_the_defaults_are_those_of_the_recorded_run() -> None:
    defaults = Settings()
    # Those of the recorded run first; the second one is offered in every region that has the algorithms' images.
    assert defaults.training_instance_types == ["ml.c4.xlarge", "ml.m5.large"]
    assert defaults.hosting_instance_types == ["ml.t2.medium", "ml.m5.large"]
    assert (defaults.num_components, defaults.variance_to_keep, defaults.clusters) == (None, 0.80, 8)
    assert defaults.pca_mini_batch_size == 500


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"clusters": 1}, "segmentation.clusters is 1: "),
        ({"clusters": "many"}, 'segmentation.clusters is "many": '),
        ({"variance_to_keep": 1.2}, "segmentation.variance_to_keep is 1.2: Input should be less than or equal to 1"),
        ({"encryption": "none"}, "segmentation.encryption is \"none\": Input should be 's3' or 'kms'"),
        (
            {"training_instance_types": ["ml.t2.medium"]},
            "'ml.t2.medium' can host but cannot train; expected",
        ),
        ({"training_instance_types": []}, "segmentation.training_instance_types is []: "),
        (
            {"hosting_instance_types": ["t2.medium"]},
            "'t2.medium' is not a SageMaker instance type; expected",
        ),
        ({"hosting_instance_types": ["ml.m5.large", "ml.m5.large"]}, "each instance type may appear once"),
        (
            {"encryption": "kms", "hosting_instance_types": ["ml.m5.large", "ml.g5.xlarge"]},
            "SageMaker accepts no KMS key for the local NVMe storage of ml.g5.xlarge; expected types without",
        ),
        (
            {"encryption": "kms", "training_instance_types": ["ml.p4d.24xlarge"]},
            "SageMaker accepts no KMS key for the local NVMe storage of ml.p4d.24xlarge; expected types without",
        ),
        ({"stage": "Production"}, 'segmentation.stage is "Production": '),
        ({"name": "a-name-longer-than-twenty"}, "at most 20 characters"),
        ({"log_retention_days": 31}, "segmentation.log_retention_days is 31: CloudWatch Logs allows 1, 3, 5"),
        ({"alarm_email": "nobody"}, 'segmentation.alarm_email is "nobody": expected a mail address or null'),
        ({"run_timeout_seconds": 3_600}, "expected at least 11700, the sum of both stages'"),
        ({"poll_seconds": 1}, "Raise poll_seconds or lower the time limits"),
        ({"tags": {"aws:owner": "x"}}, "'aws:owner' cannot be a tag"),
        ({"training_instance_count": "2x"}, 'segmentation.training_instance_count is "2x": '),
        ({"cluster": 8}, "segmentation.cluster is not a setting; expected one of stage, name, "),
    ],
)
def test_a_bad_value_is_refused_with_the_key_the_value_and_what_is_allowed(values: Any, says: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        settings(**values)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_all_bad_values_are_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"segmentation\.clusters is 1: .*; segmentation\.encryption is"):
        settings(clusters=1, encryption="none")


def test_the_command_line_overrides_one_setting() -> None:
    context = {"segmentation": {"clusters": 6}, "segmentation.stage": "prod", "segmentation.clusters": "auto"}
    given = Settings.from_context(context)
    assert (given.stage, given.clusters) == ("prod", "auto")


def test_the_command_line_gives_numbers_lists_and_accounts_as_text() -> None:
    given = Settings.from_context(
        {
            "segmentation.account": "012345678901",
            "segmentation.clusters": "6",
            "segmentation.hosting_instance_types": '["ml.m5.large"]',
        }
    )
    assert (given.account, given.clusters, given.hosting_instance_types) == ("012345678901", 6, ["ml.m5.large"])


def test_an_unknown_override_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"segmentation\.cluster is not a setting"):
        Settings.from_context({"segmentation.cluster": "6"})


def test_settings_that_are_no_object_are_refused() -> None:
    with pytest.raises(SettingsError, match="expected an object"):
        Settings.from_context({"segmentation": "[1]"})


@pytest.mark.parametrize(
    ("values", "name"),
    [({}, "census-segmentation"), ({"stage": "prod"}, "census-seg-prod"), ({"name": "counties"}, "counties")],
)
def test_a_stage_names_its_stack(values: Any, name: str) -> None:
    assert settings(**values).deployment_id == name


def test_the_longest_stage_still_leaves_room_for_sagemaker_names() -> None:
    assert len(settings(stage="a23456789").deployment_id) <= 20


def test_only_prod_is_protected_unless_told_otherwise() -> None:
    assert settings(stage="prod").is_protected
    assert not settings().is_protected
    assert not settings(stage="prod", termination_protection=False).is_protected


def test_a_teardown_outlasts_an_endpoint_that_hangs_in_its_creation() -> None:
    assert Settings().teardown_timeout_seconds > STUCK_SECONDS


def test_waiting_to_every_time_limit_fits_an_executions_history() -> None:
    assert Settings().history_events <= HISTORY_EVENT_LIMIT


def test_polling_costs_less_than_four_percent_of_sagemakers_own_time() -> None:
    recorded = 191 + 375 + 191 + 440
    waits = 5  # two jobs, two endpoints, one teardown
    assert waits * Settings().poll_seconds <= 0.04 * recorded


def test_synth_ends_in_one_line_without_a_traceback() -> None:
    finished = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "CDK_CONTEXT_JSON": '{"segmentation.clusters": "1"}'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    assert "cdk.json: segmentation.clusters is 1: " in finished.stderr
