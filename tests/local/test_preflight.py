"""``preflight``: what it says about an account that is ready, and about one that is broken."""

import json
import os
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


def with_settings(template: Template, **changes: Any) -> Template:
    """Return a template of one function with changed settings."""
    (function,) = [each for each in template.resources.values() if each["Type"] == "AWS::Lambda::Function"][:1]
    given = json.dumps(replace(template.run_settings, **changes).as_dict())
    properties = function["Properties"] | {"Environment": {"Variables": {"RUN_SETTINGS": given}}}
    return replace(template, resources={"Function": {"Type": "AWS::Lambda::Function", "Properties": properties}})


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
    assert training.finding == "the account has no such quota in this region"
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
    theirs = with_settings(template, incoming_bucket="their-incoming")
    rows = [each for each in preflight.check(Account.embedded(broken), theirs) if each.subject.startswith("bucket")]
    assert [each.finding for each in rows] == ["is not versioned", "sends no events to EventBridge"]


def test_types_that_the_region_does_not_offer_are_a_warning_unless_none_is_left(
    tmp_path: Path, template: Template
) -> None:
    with Cloud.start(tmp_path, region="eu-north-1") as cloud:
        rows = list(preflight.check(Account.embedded(cloud), template))
        only = with_settings(template, hosting_instance_types=["ml.t2.medium"])
        failing = list(preflight.check(Account.embedded(cloud), only))
    found = row(rows, "hosting_instance_types")
    assert found.verdict == "warning"
    assert found.finding == "eu-north-1 does not offer ml.t2.medium for hosting, so runs use ml.m5.large"
    assert not [each for each in rows if each.subject.startswith("ml.t2.medium")]
    assert row(failing, "hosting_instance_types").verdict == "failed"
    assert row(failing, "hosting_instance_types").remedy == "list another instance type in the setting"


def command(*options: str, **variables: str) -> tuple[int, dict[str, list[Row]]]:
    """Run the command, and return its exit code and the rows by subject."""
    line = [sys.executable, "-m", "local", "preflight", "--json", *options]
    done = subprocess.run(line, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=False)
    rows: dict[str, list[Row]] = {}
    for each in json.loads(done.stdout)["checks"]:
        rows.setdefault(each["subject"], []).append(Row(**each))
    return done.returncode, rows


def test_the_command_refuses_an_invalid_setting() -> None:
    code, rows = command("--embedded", "-c", "segmentation.clusters=1")
    assert code == 1
    assert rows["settings"][0].verdict == "failed"
    assert "segmentation.clusters" in rows["settings"][0].finding


def test_the_command_ends_with_0_for_an_account_that_is_ready() -> None:
    code, rows = command("--embedded")
    assert code == 0
    assert {each.verdict for found in rows.values() for each in found} <= {"ok", "warning"}


@pytest.mark.parametrize(
    ("cause", "option", "subject", "finding", "remedy"),
    [
        pytest.param(
            "no quota",
            'segmentation.hosting_instance_types=["ml.t2.medium"]',
            "ml.t2.medium for endpoint usage",
            "quota 0, in use 0, needed 1",
            "request an increase of the quota 'ml.t2.medium for endpoint usage' in Service Quotas",
            id="no quota",
        ),
        pytest.param(
            "no bootstrap",
            "segmentation.bootstrap_qualifier=missing",
            "bootstrap",
            "there is no /cdk-bootstrap/missing/version",
            "run: npx cdk bootstrap aws://000000000000/us-east-1 --qualifier missing",
            id="no bootstrap",
        ),
        pytest.param(
            "wrong region",
            "segmentation.region=eu-central-1",
            "region",
            "us-east-1, but the setting `region` is eu-central-1",
            "use --region eu-central-1, or correct the setting",
            id="wrong region",
        ),
        pytest.param(
            "missing permission",
            "segmentation.stage=dev",
            "permissions",
            "may not assume cdk-hnb659fds-deploy-role-000000000000-us-east-1: implicitDeny",
            "allow sts:AssumeRole on arn:aws:iam::000000000000:role/cdk-hnb659fds-deploy-role-000000000000-us-east-1",
            id="missing permission",
        ),
    ],
)
def test_the_command_ends_with_1_and_a_remedy_for_a_broken_account(  # noqa: PLR0917 - pytest passes them by name
    tmp_path: Path, cause: str, option: str, subject: str, finding: str, remedy: str
) -> None:
    """The account has only the one defect; the command uses it as it uses a real account."""
    faults = ["Endpoint:quota=ml.t2.medium/0"] if cause == "no quota" else []
    with Cloud.start(tmp_path, faults=faults) as cloud:
        bootstrap(cloud)
        variables = cloud.environment()
        if cause == "missing permission":
            reads = ("ssm:GetParameter", "servicequotas:List*", "sagemaker:List*", "iam:SimulatePrincipalPolicy")
            keys = user(cloud, *map(allow, reads)).session.get_credentials()
            assert keys
            variables |= {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key}
        code, rows = command("-c", option, **variables)
    assert code == 1
    failed = [each for found in rows.values() for each in found if each.verdict == "failed"]
    assert {each.subject for each in failed} == {subject}
    assert (failed[0].finding, failed[0].remedy) == (finding, remedy)
