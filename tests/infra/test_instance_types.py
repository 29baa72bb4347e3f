"""What is known of instance types on synth: the regions that offer them, and those with local storage."""

import json
from typing import Any

import pytest
from aws_cdk.assertions import Annotations, Match

from contract.instance_types import LOCAL_STORAGE_FAMILIES, not_offered
from embedded_aws.sagemaker.request import LOCAL_STORAGE_FAMILIES as REHEARSED
from infra.settings import Settings
from tests.infra.synthesis import ROOT, new_stack
from tools.instance_types import TARGET, as_text, instance_families

REGIONS_WITH_IMAGES = json.loads((ROOT / "infra" / "algorithm_images.json").read_text())


def warnings(**settings: Any) -> list[str]:
    """Return the warnings of the stack with these settings."""
    found = Annotations.from_stack(new_stack(**settings)).find_warning("*", Match.any_value())
    return [str(each.entry.data) for each in found]


def test_the_file_is_what_the_tool_writes_from_the_pinned_cfn_lint() -> None:
    assert TARGET.read_text() == as_text(instance_families())


@pytest.mark.parametrize("region", REGIONS_WITH_IMAGES)
def test_every_region_with_images_offers_one_of_the_default_types(region: str) -> None:
    defaults = Settings()
    hosting, training = defaults.hosting_instance_types, defaults.training_instance_types
    assert len(not_offered(hosting, region, "hosting")) < len(hosting)
    assert len(not_offered(training, region, "training")) < len(training)


def test_a_region_without_a_type_is_said_on_synth_with_what_happens_instead() -> None:
    said = warnings(region="eu-north-1")
    assert len(said) == 2
    assert any(
        "hosting_instance_types: eu-north-1 does not offer ml.t2.medium for hosting, so runs use ml.m5.large" in each
        for each in said
    )
    (only,) = warnings(
        region="eu-north-1", hosting_instance_types=["ml.t2.medium"], training_instance_types=["ml.m5.large"]
    )
    assert "so every run will fail" in only


@pytest.mark.parametrize("settings", [{"region": "us-east-1"}, {}, {"region": "eu-north-1", "inference": "function"}])
def test_nothing_is_said_of_what_is_offered_unknown_or_not_used(settings: dict[str, Any]) -> None:
    assert [each for each in warnings(**settings) if "hosting" in each] == []


def test_the_stack_and_the_embedded_aws_refuse_a_key_for_the_same_families() -> None:
    assert LOCAL_STORAGE_FAMILIES == REHEARSED
