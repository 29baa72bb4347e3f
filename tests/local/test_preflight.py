"""``preflight``: what it says about an account that is ready, and about one that is broken."""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from embedded_aws.cloud.deploy import bootstrap
from embedded_aws.cloud.instance import Cloud
from local import preflight
from local.account import Account
from local.preflight import Row
from local.synth import ROOT
from local.template import Template

BROKEN = ("Endpoint:quota=ml.t2.medium/0", "CreateTrainingJob:unsupported=ml.c4.xlarge")


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An embedded AWS without a bootstrap stack or a quota, in a region without the instance type for training."""
    with Cloud.start(tmp_path_factory.mktemp("broken"), faults=BROKEN) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def template(assembly: Path) -> Template:
    """The default stack."""
    return Template.read(assembly)


def user(cloud: Cloud, *statements: dict[str, Any]) -> Account:
    """Return the account with the credentials of a new user."""
    iam, name = cloud.client("iam"), f"user-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    if statements:
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    session = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=cloud.region)
    return replace(Account.embedded(cloud), session=session, _clients={})


def allow(actions: str, resource: str = "*") -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


def row(rows: list[Row], subject: str) -> Row:
    (found,) = [each for each in rows if each.subject == subject]
    return found


def test_a_ready_account_passes_and_nothing_is_written(tmp_path: Path, template: Template) -> None:
    with Cloud.start(tmp_path) as cloud:
        bootstrap(cloud)
        rows = list(preflight.check(Account.embedded(cloud), template))
        assert cloud.client("cloudformation").describe_stacks()["Stacks"] == []
        assert cloud.client("s3").list_buckets()["Buckets"] == []
    assert [each for each in rows if each.verdict == "failed"] == []
    assert row(rows, "bootstrap").finding == "version 30"
    assert row(rows, "names").finding == "free"


def test_an_account_without_bootstrap_quota_and_instance_type_fails_with_a_remedy_each(
    broken: Cloud, template: Template
) -> None:
    rows = list(preflight.check(Account.embedded(broken), template))
    bootstrap_row = row(rows, "bootstrap")
    assert bootstrap_row.verdict == "failed"
    assert bootstrap_row.remedy == f"run: npx cdk bootstrap aws://{broken.account}/{broken.region}"
    hosting = row(rows, "ml.t2.medium for endpoint usage")
    assert hosting.finding == "quota 0, in use 0, needed 1"
    assert "Service Quotas" in hosting.remedy
    training = row(rows, "ml.c4.xlarge for training job usage")
    assert training.finding == "not offered in this region"
    others = {"ml.t2.medium for endpoint usage", "ml.c4.xlarge for training job usage"}
    usable = len(template.run_settings.hosting_instance_types) > 1
    assert {row(rows, name).verdict for name in others} == {"warning" if usable else "failed"}


def test_the_wrong_account_and_region_fail(broken: Cloud, template: Template) -> None:
    elsewhere = replace(
        template, account="111122223333", region="eu-central-1", image_regions=frozenset(["eu-north-1"])
    )
    rows = list(preflight.check(Account.embedded(broken), elsewhere))
    assert row(rows, "account").finding == "000000000000, but the setting `account` is 111122223333"
    assert row(rows, "region").remedy == "use --region eu-central-1, or correct the setting"
    assert row(rows, "images").remedy == "choose one of eu-north-1"
    assert {row(rows, name).verdict for name in ("account", "region", "images")} == {"failed"}


def test_a_deployer_who_may_not_assume_the_roles_of_the_bootstrap_stack_fails(
    broken: Cloud, template: Template
) -> None:
    limited = user(broken, allow("iam:SimulatePrincipalPolicy"), allow("sts:AssumeRole", "*-file-publishing-role-*"))
    rows = [each for each in preflight.check(limited, template) if each.subject == "permissions"]
    assert [each.verdict for each in rows] == ["failed", "ok"]
    assert "cdk-hnb659fds-deploy-role-000000000000-us-east-1: implicitDeny" in rows[0].finding
    assert rows[0].remedy.startswith("allow sts:AssumeRole on arn:aws:iam::000000000000:role/cdk-hnb659fds-deploy-role")


def test_what_the_deployer_may_not_read_is_a_warning_and_the_other_rows_follow(
    broken: Cloud, template: Template
) -> None:
    rows = list(preflight.check(user(broken), template))
    quotas = row(rows, "quotas")
    assert quotas.verdict == "warning"
    assert "servicequotas:ListServiceQuotas" in quotas.finding
    assert row(rows, "region").verdict == "ok"


def test_invalid_credentials_end_the_table(broken: Cloud, template: Template) -> None:
    session = boto3.Session("AKIAABSENT", "secret", region_name=broken.region)
    (only,) = preflight.check(replace(Account.embedded(broken), session=session, _clients={}), template)
    assert (only.subject, only.verdict) == ("credentials", "failed")


def test_names_that_are_taken_are_listed(broken: Cloud, template: Template) -> None:
    group = "/aws/lambda/census-segmentation-prepare"
    broken.client("logs").create_log_group(logGroupName=group)
    rows = list(preflight.check(Account.embedded(broken), template))
    assert row(rows, "names").finding == f"taken: log group {group}"


def test_an_existing_bucket_must_be_versioned_and_send_events(broken: Cloud, template: Template) -> None:
    broken.client("s3").create_bucket(Bucket="their-incoming")
    (function,) = [each for each in template.resources.values() if each["Type"] == "AWS::Lambda::Function"][:1]
    given = json.dumps(replace(template.run_settings, incoming_bucket="their-incoming").as_dict())
    properties = function["Properties"] | {"Environment": {"Variables": {"RUN_SETTINGS": given}}}
    theirs = replace(template, resources={"Function": {"Type": "AWS::Lambda::Function", "Properties": properties}})
    rows = [each for each in preflight.check(Account.embedded(broken), theirs) if each.subject.startswith("bucket")]
    assert [each.finding for each in rows] == ["is not versioned", "sends no events to EventBridge"]


def test_the_command_prints_the_table_and_its_exit_code_says_whether_to_deploy() -> None:
    command = [sys.executable, "-m", "local", "preflight", "--embedded", "--json", "-c", "segmentation.clusters=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    found = {each["subject"]: each for each in json.loads(done.stdout.partition("]\n")[0] + "]")}
    assert found["settings"]["verdict"] == "failed"
    assert "segmentation.clusters" in found["settings"]["finding"]
