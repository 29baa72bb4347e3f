"""The construct in a foreign stack: several side by side, its parts as attributes."""

import json
import re
from collections import Counter
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Template

from contract.names import METRICS
from infra.segmentation import CensusSegmentation
from infra.settings import SettingsError
from tests.infra.synthesis import new_app, resources, template_of, two_in_one_stack

NAMES = (
    *("BucketName", "FunctionName", "StateMachineName", "QueueName", "TopicName", "LogGroupName", "AlarmName"),
    *("AliasName", "Name", "DashboardName", "RoleName"),
)


@pytest.fixture(scope="module")
def both() -> dict[str, Any]:
    return two_in_one_stack()


def test_two_deployments_in_one_stack_have_twice_the_resources(both: dict[str, Any]) -> None:
    def kinds(template: dict[str, Any]) -> Counter[str]:
        return Counter(each["Type"] for each in template["Resources"].values())

    one = kinds(template_of(encryption="kms"))
    assert kinds(both) == Counter({kind: 2 * number for kind, number in one.items()})


def test_two_deployments_in_one_stack_share_no_name(both: dict[str, Any]) -> None:
    named = Counter(
        (each["Type"], json.dumps(each["Properties"][field]))
        for each in both["Resources"].values()
        for field in NAMES
        if field in each["Properties"] and each["Type"] != "AWS::Lambda::Permission"
    )
    assert {name: times for name, times in named.items() if times > 1} == {}


def test_nothing_of_one_deployment_refers_to_the_other(both: dict[str, Any]) -> None:
    for logical_id, resource in both["Resources"].items():
        text = json.dumps(resource)
        own, foreign = ("One", "Two") if logical_id.startswith("CensusOne") else ("Two", "One")
        assert logical_id.startswith(f"Census{own}")
        assert not re.search(rf"Census{foreign}|census-{foreign.lower()}", text), logical_id


def test_each_deployments_resources_carry_its_own_tag(both: dict[str, Any]) -> None:
    for logical_id, bucket in resources(both, "AWS::S3::Bucket").items():
        name = "census-one" if logical_id.startswith("CensusOne") else "census-two"
        assert {"Key": "segmentation:stack", "Value": name} in bucket["Properties"]["Tags"]


def test_a_second_deployment_of_the_same_name_in_a_stack_is_refused_with_the_remedy() -> None:
    stack = Stack(new_app(), "Foreign")
    CensusSegmentation(stack, "One")
    with pytest.raises(SettingsError, match=r"both deployments called 'census-segmentation'; .* another name"):
        CensusSegmentation(stack, "Two")


def test_the_resources_are_attributes_that_a_foreign_stack_can_grant_and_watch() -> None:
    stack = Stack(new_app(), "Foreign")
    segmentation = CensusSegmentation(stack, "Segmentation")
    analysts = iam.Role(stack, "Analysts", assumed_by=iam.AccountRootPrincipal())
    segmentation.results.grant_read(analysts)
    segmentation.topic.grant_publish(analysts)
    segmentation.state_machine.grant_read(analysts)
    segmentation.incoming.grant_put(analysts)
    granted = next(
        json.dumps(each)
        for name, each in resources(dict(Template.from_stack(stack).to_json()), "AWS::IAM::Policy").items()
        if name.startswith("Analysts")
    )
    assert all(action in granted for action in ("s3:GetObject*", "s3:PutObject", "sns:Publish", "states:Describe"))
    assert set(segmentation.metrics) == set(METRICS)
    assert "run-failed" in segmentation.alarms
