"""Deploying a template into the embedded AWS."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.cloud.assembly import zip_directory
from embedded_aws.cloud.deploy import DeployError, Outputs, deploy, destroy
from embedded_aws.cloud.instance import Cloud


def small_assembly(directory: Path, resources: dict[str, Any], name: str, **template: Any) -> Path:
    """Write a cloud assembly of one stack, with one file asset, the template."""
    directory.mkdir(exist_ok=True)
    bucket, key = "cdk-small-assets-${AWS::AccountId}-${AWS::Region}", "template.json"
    (directory / "template.json").write_text(json.dumps({"Resources": resources, **template}))
    file = {
        "source": {"path": "template.json", "packaging": "file"},
        "destinations": {"here": {"bucketName": bucket, "objectKey": key}},
    }
    (directory / "assets.json").write_text(json.dumps({"files": {"template": file}}))
    stack = {
        "type": "aws:cloudformation:stack",
        "properties": {"stackName": name, "stackTemplateAssetObjectUrl": f"s3://{bucket}/{key}"},
        "dependencies": ["assets"],
    }
    assets = {"type": "cdk:asset-manifest", "properties": {"file": "assets.json"}}
    manifest = {"version": "1", "artifacts": {"stack": stack, "assets": assets}}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


@pytest.fixture
def name() -> str:
    """A stack's name."""
    return f"small-{uuid.uuid4().hex[:8]}"


def test_a_stack_is_created_updated_and_destroyed(cloud: Cloud, tmp_path: Path, name: str) -> None:
    topic = {"T": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": name}}}
    outputs = {"Topic": {"Value": {"Ref": "T"}}}
    made = deploy(cloud, small_assembly(tmp_path, topic, name, Outputs=outputs))
    assert made["Topic"].endswith(f":{name}")
    queue = {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}}}
    deploy(cloud, small_assembly(tmp_path, {**topic, **queue}, name, Outputs=outputs))
    assert cloud.client("sqs").get_queue_url(QueueName=name)
    deploy(cloud, tmp_path)  # nothing to update is no error
    destroy(cloud, name)
    destroy(cloud, name)
    with pytest.raises(ClientError, match="does not exist|NonExistentQueue"):  # noqa: RUF043
        cloud.client("sqs").get_queue_url(QueueName=name)


def test_a_bucket_has_the_tags_of_its_template(cloud: Cloud, tmp_path: Path, name: str) -> None:
    tags = [{"Key": "name", "Value": name}]
    bucket = {"B": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name, "Tags": tags}}}
    deploy(cloud, small_assembly(tmp_path, bucket, name))
    assert cloud.client("s3").get_bucket_tagging(Bucket=name)["TagSet"] == tags
    filters = [{"Key": "name", "Values": [name]}]
    found = cloud.client("resourcegroupstaggingapi").get_resources(TagFilters=filters)["ResourceTagMappingList"]
    assert [each["ResourceARN"] for each in found] == [f"arn:aws:s3:::{name}"]


def test_what_cannot_be_created_is_named_with_the_reason(cloud: Cloud, tmp_path: Path, name: str) -> None:
    token = f"arn:aws:lambda:{cloud.region}:{cloud.account}:function:none"
    bad = {"Wrong": {"Type": "Custom::Thing", "Properties": {"ServiceToken": token}}}
    with pytest.raises(DeployError, match=r"Wrong \(Custom::Thing\): .*function:none"):
        deploy(cloud, small_assembly(tmp_path, bad, name))


def test_the_stack_is_deployed_with_its_outputs(cloud: Cloud, stack: Outputs) -> None:
    assert stack.stack_name == "census-segmentation"
    assert cloud.client("s3").head_bucket(Bucket=stack["IncomingBucket"])
    assert cloud.client("stepfunctions").describe_state_machine(stateMachineArn=stack["StateMachineArn"])


def test_a_zip_depends_on_nothing_but_names_and_contents(tmp_path: Path) -> None:
    for modified, each in ((1_000_000_000, "one"), (2_000_000_000, "two")):
        (tmp_path / each / "sub").mkdir(parents=True)
        (tmp_path / each / "sub" / "a.py").write_text("a = 1\n")
        (tmp_path / each / "b.py").write_text("b = 1\n")
        os.utime(tmp_path / each / "b.py", (modified, modified))
    assert zip_directory(tmp_path / "one") == zip_directory(tmp_path / "two")
