"""Four packs of cdk-nag, and cfn-lint: no finding is left open, and each check can fail."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns

from infra.stack import SegmentationStack
from tests.infra.checks import cfn_lint, findings_of
from tests.infra.synthesis import BUDGET, KMS, new_app, new_stack, template_of
from tests.infra.test_locked_down import LOCKED

REGIONS = ["us-east-1", "us-west-1", "eu-central-1", "ap-northeast-2", "sa-east-1"]
COMBINATIONS = {"default": {}, "kms": KMS, "budget": BUDGET, "locked": LOCKED, "function": {"inference": "function"}}


def nag_findings(change: Callable[[SegmentationStack], object] | None = None, **settings: Any) -> set[str]:
    """Return the rules that the stack breaks, after a change made to it."""
    app = new_app()
    stack = new_stack(app, **settings)
    if change is not None:
        change(stack)
    return findings_of(app)


@pytest.mark.parametrize("settings", COMBINATIONS.values(), ids=COMBINATIONS)
def test_cdk_nag_leaves_no_finding_open(settings: Any) -> None:
    assert nag_findings(**settings) == set()


@pytest.mark.parametrize("settings", COMBINATIONS.values(), ids=COMBINATIONS)
@pytest.mark.parametrize("region", REGIONS)
def test_cfn_lint_has_nothing_to_say_in_five_regions(region: str, settings: Any) -> None:
    assert cfn_lint(template_of(region=region, **settings), region) == []


def test_cfn_lint_has_nothing_to_say_where_the_region_is_open() -> None:
    assert cfn_lint(template_of(), "us-east-1") == []


def test_cfn_lint_refuses_a_property_that_does_not_exist() -> None:
    template = json.loads(json.dumps(template_of()))
    template["Resources"]["Broken"] = {"Type": "AWS::SNS::Topic", "Properties": {"Colour": "red"}}
    assert any("Colour" in finding for finding in cfn_lint(template, "us-east-1"))


def test_a_wildcard_resource_fails_the_checks() -> None:
    def allow_all_buckets(stack: SegmentationStack) -> None:
        role: Any = stack.segmentation.node.find_child("SageMaker").node.find_child("Role")
        role.add_to_policy(iam.PolicyStatement(actions=["s3:GetObject"], resources=["arn:aws:s3:::*"]))

    assert nag_findings(allow_all_buckets) == {"AwsSolutions-IAM5[Resource::arn:aws:s3:::*]"}


def test_a_public_bucket_fails_the_checks() -> None:
    def add_public_bucket(stack: SegmentationStack) -> None:
        s3.Bucket(
            stack,
            "Public",
            public_read_access=True,
            block_public_access=s3.BlockPublicAccess(
                block_public_acls=False,
                block_public_policy=False,
                ignore_public_acls=False,
                restrict_public_buckets=False,
            ),
        )

    assert nag_findings(add_public_bucket) >= {"AwsSolutions-S2", "AwsSolutions-S10"}


def test_an_unencrypted_topic_fails_the_checks() -> None:
    found = nag_findings(lambda stack: sns.Topic(stack, "Plain"))
    assert found == {"AwsSolutions-SNS3", "NIST.800.53.R5-SNSEncryptedKMS", "HIPAA.Security-SNSEncryptedKMS"}


def test_a_function_without_traces_fails_the_serverless_pack() -> None:
    def stop_tracing(stack: SegmentationStack) -> None:
        sweep: Any = stack.segmentation.node.find_child("Functions").node.find_child("Sweep")
        sweep.node.default_child.add_property_override("TracingConfig.Mode", "PassThrough")
        sweep.node.default_child.tracing_config = None

    assert nag_findings(stop_tracing) == {"Serverless-LambdaTracing"}
