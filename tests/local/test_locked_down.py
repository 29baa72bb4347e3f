"""A run in an account with rules: its own boundary, role path and prefix, VPC, buckets, key and bootstrap qualifier."""

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.cloud.deploy import deploy
from embedded_aws.cloud.instance import Cloud
from local.synth import ROOT, synth
from tests.local.runs import Runs

pytestmark = pytest.mark.timeout(600)

BOUNDARY = "arn:aws:iam::000000000000:policy/Boundary"
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
NO_TRAINING = {"Effect": "Deny", "Action": "sagemaker:CreateTrainingJob", "Resource": "*"}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def documented_key_policy(cloud: Cloud) -> str:
    """Return KMS's default key policy with the statements that docs/operations.md asks for."""
    (block,) = re.findall(
        r"```json\n(.+?)```", (ROOT / "docs" / "operations.md").read_text(encoding="utf-8"), re.DOTALL
    )
    for name, value in {"account": cloud.account, "region": cloud.region, "stack": "census-segmentation"}.items():
        block = block.replace(f"<{name}>", value)
    root = {"AWS": f"arn:aws:iam::{cloud.account}:root"}
    return policy({"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"}, *json.loads(block))


def settings_of_a_locked_down_account(cloud: Cloud) -> dict[str, Any]:
    """Create what such an account has before anyone deploys, and return the settings that name it."""
    cloud.client("iam").create_policy(PolicyName="Boundary", PolicyDocument=policy(EVERYTHING))
    ec2, s3 = cloud.client("ec2"), cloud.client("s3")
    for bucket in ("their-incoming", "their-results"):
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(
        Bucket="their-incoming", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    return {
        "permissions_boundary": BOUNDARY,
        "role_path": "/segmentation/",
        "role_name_prefix": "app-",
        "vpc_subnet_ids": [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]],
        "vpc_security_group_ids": [group["GroupId"] for group in ec2.describe_security_groups()["SecurityGroups"]],
        "existing_incoming_bucket": "their-incoming",
        "existing_results_bucket": "their-results",
        "existing_key_arn": cloud.client("kms").create_key(Policy=documented_key_policy(cloud))["KeyMetadata"]["Arn"],
        "encryption": "kms",
        "bootstrap_qualifier": "company1",
    }


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    with tempfile.TemporaryDirectory(prefix="locked-") as directory, Cloud.start(Path(directory)) as cloud:
        settings = settings_of_a_locked_down_account(cloud)
        yield Runs(cloud, deploy(cloud, synth(Path(directory, "cdk.out"), {"segmentation": settings})))


def test_a_run_with_every_setting_for_locked_down_accounts_succeeds_and_leaves_nothing(runs: Runs) -> None:
    run = runs.upload("locked.csv")
    execution = runs.end(run, 200)
    assert execution["status"] == "SUCCEEDED", execution.get("cause")
    assert runs.has_correct_labels(run)
    assert runs.leftovers() == []


def test_jobs_ran_without_a_network_in_the_vpc(runs: Runs) -> None:
    sagemaker = runs.client("sagemaker")
    jobs = [job["TrainingJobName"] for job in sagemaker.list_training_jobs()["TrainingJobSummaries"]]
    for job in [sagemaker.describe_training_job(TrainingJobName=name) for name in jobs]:
        assert job["EnableNetworkIsolation"] is True
        assert len(job["VpcConfig"]["Subnets"]) == 3
    assert len(jobs) == 2


def test_every_role_of_the_stack_is_where_and_what_the_account_wants(runs: Runs) -> None:
    roles = runs.client("iam").list_roles(PathPrefix="/segmentation/")["Roles"]
    assert len(roles) > 10
    for role in roles:
        found = runs.client("iam").get_role(RoleName=role["RoleName"])["Role"]
        assert found["RoleName"].startswith("app-census-segmentation-")
        assert found["PermissionsBoundary"]["PermissionsBoundaryArn"] == BOUNDARY


def test_what_the_boundary_denies_is_denied(runs: Runs) -> None:
    """The role's own policy still allows it."""
    runs.client("iam").create_policy_version(
        PolicyArn=BOUNDARY, PolicyDocument=policy(EVERYTHING, NO_TRAINING), SetAsDefault=True
    )
    run = runs.upload("denied.csv")
    execution = runs.end(run)
    assert execution["status"] == "FAILED"
    assert "AccessDenied" in execution["error"]
    assert "sagemaker:CreateTrainingJob" in execution["cause"]
