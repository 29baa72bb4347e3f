"""The example for GitHub Actions: who may assume its roles, what they may do, and what the workflow runs."""

import re
import runpy
from typing import Any

import boto3
import botocore.session
import pytest
import yaml
from aws_cdk import App
from aws_cdk.assertions import Template
from botocore import xform_name
from botocore.stub import Stubber

from infra.settings import Settings
from tests.infra.checks import BASIC_PACKS, cfn_lint, findings_of
from tests.infra.synthesis import ROOT, new_app, resources

EXAMPLE = ROOT / "examples" / "github-actions"
REPOSITORY = "octo-org/census"
PROVIDER = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
STAGES = ("dev", "prod")
ACCOUNT_WITH_RULES = {
    "encryption": "kms",
    "existing_incoming_bucket": "their-incoming",
    "existing_results_bucket": "their-results",
    "permissions_boundary": "arn:aws:iam::123456789012:policy/Boundary",
    "role_path": "/segmentation/",
    "role_name_prefix": "app-",
    "bootstrap_qualifier": "company1",
}
PipelineRoles = runpy.run_path(str(EXAMPLE / "roles.py"))["PipelineRoles"]
# The permissions of operations that are not named after them.
PERMISSIONS = {
    "s3:HeadBucket": "s3:ListBucket",
    "s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
}


def app_of(*, provider_arn: str | None = None, **settings: Any) -> tuple[App, Any]:
    app = new_app()
    return app, PipelineRoles(app, repository=REPOSITORY, settings=Settings(**settings), provider_arn=provider_arn)


def template_of(**options: Any) -> dict[str, Any]:
    return dict(Template.from_stack(app_of(**options)[1]).to_json())


def trusted(template: dict[str, Any], role: str) -> dict[str, Any]:
    """Return the only statement of a role's trust policy."""
    (found,) = (each for name, each in resources(template, "AWS::IAM::Role").items() if name.startswith(role))
    (statement,) = found["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    return dict(statement)


def granted(template: dict[str, Any], role: str) -> dict[str, list[str]]:
    """Return the resources of each action in a role's policy."""
    policies = resources(template, "AWS::IAM::Policy")
    (policy,) = (each for name, each in policies.items() if name.startswith(role))
    found: dict[str, list[str]] = {}
    for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
        for action in _listed(statement["Action"]):
            found.setdefault(action, []).extend(map(_text, _listed(statement["Resource"])))
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    """Write an ARN with its references as ``<name>``."""
    if isinstance(value, str):
        return value
    ((kind, argument),) = value.items()
    return "".join(map(_text, argument[1])) if kind == "Fn::Join" else f"<{argument}>"


def _bootstrap_role(name: str, qualifier: str = "hnb659fds") -> str:
    account, region = "<AWS::AccountId>", "<AWS::Region>"
    return f"arn:<AWS::Partition>:iam::{account}:role/cdk-{qualifier}-{name}-role-{account}-{region}"


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("role", "context"), [("Compare", "pull_request"), ("Deploy", "environment:{stage}")], ids=["compare", "deploy"]
)
def test_a_role_trusts_one_subject_of_one_repository(role: str, context: str, stage: str) -> None:
    subject = f"repo:{REPOSITORY}:{context.format(stage=stage)}"
    assert trusted(template_of(stage=stage, provider_arn=PROVIDER), role) == {
        "Effect": "Allow",
        "Principal": {"Federated": PROVIDER},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {
                "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
                "token.actions.githubusercontent.com:sub": subject,
            }
        },
    }


def test_the_comparing_role_may_only_assume_the_role_for_lookups() -> None:
    assert granted(template_of(), "Compare") == {"sts:AssumeRole": [_bootstrap_role("lookup")]}


def test_the_deploying_role_may_assume_three_roles_of_the_bootstrap_stack() -> None:
    names = ("deploy", "file-publishing", "lookup")
    assert granted(template_of(), "Deploy")["sts:AssumeRole"] == [_bootstrap_role(name) for name in names]
    assert granted(template_of(bootstrap_qualifier="company1"), "Deploy")["sts:AssumeRole"] == [
        _bootstrap_role(name, "company1") for name in names
    ]


@pytest.mark.parametrize(
    ("settings", "writes"),
    [
        ({"stage": "prod"}, set()),
        ({"stage": "dev"}, {"s3:PutObject"}),
        ({"stage": "dev", "encryption": "kms"}, {"s3:PutObject", "kms:GenerateDataKey"}),
    ],
    ids=["prod", "dev", "dev with kms"],
)
def test_beside_that_the_deploying_role_reads_and_uploads_the_file_of_the_check(
    settings: dict[str, Any], writes: set[str]
) -> None:
    found = granted(template_of(**settings), "Deploy")
    assert not any("*" in action for action in found)
    reads = {action for action in found if re.match(r"[a-z0-9]+:(Describe|Get|List|Simulate)", action)}
    assert set(found) - reads == {"sts:AssumeRole", *writes}
    assert found.get("s3:PutObject", []) == [
        "arn:<AWS::Partition>:s3:::census-segmentation-*/incoming/pipeline/census.csv"
        for _ in writes & {"s3:PutObject"}
    ]


def actions_of_preflight() -> set[str]:
    """Return the permissions for the operations that local/preflight.py names, as methods or for paginators."""
    source = (ROOT / "local" / "preflight.py").read_text(encoding="utf-8")
    words = {word for word in re.findall(r"\w+", source) if "_" in word}  # a word such as `search` may be no operation
    session = botocore.session.get_session()
    found = set()
    for service in set(re.findall(r'\bclient\("([a-z0-9-]+)"\)', source)):
        model = session.get_service_model(service)
        operations = {name for name in model.operation_names if xform_name(name) in words}
        assert operations, f"no operation of {service} was found"
        found |= {f"{model.signing_name}:{name}" for name in operations}
    return {PERMISSIONS.get(action, action) for action in found}


def test_the_deploying_role_may_do_everything_that_preflight_does() -> None:
    settings = {"existing_incoming_bucket": "their-incoming", "existing_results_bucket": "their-results"}
    assert actions_of_preflight() - set(granted(template_of(**settings), "Deploy")) == set()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("options", [{}, {"provider_arn": PROVIDER, **ACCOUNT_WITH_RULES}], ids=["default", "rules"])
def test_cdk_nag_and_cfn_lint_leave_no_finding_open(options: dict[str, Any], stage: str) -> None:
    # The other packs check what the deployed stack holds and does; CDK makes the buckets and roles of a pipeline.
    assert findings_of(app_of(stage=stage, **options)[0], BASIC_PACKS) == set()
    assert cfn_lint(template_of(stage=stage, **options), "eu-central-1") == []


def test_an_account_that_has_the_provider_gets_no_second_one() -> None:
    kind = "AWS::IAM::OIDCProvider"
    assert len(resources(template_of(), kind)) == 1
    assert resources(template_of(provider_arn=PROVIDER), kind) == {}


def workflow(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((EXAMPLE / name).read_text(encoding="utf-8")))


def test_every_action_of_others_is_pinned_to_a_commit() -> None:
    jobs = [job for name in ("deploy.yml", "deploy-stage.yml") for job in workflow(name)["jobs"].values()]
    used = [step["uses"] for job in jobs for step in job.get("steps", []) if "uses" in step]
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)] == []


def test_pull_requests_only_compare_and_a_push_deploys_to_dev_before_prod() -> None:
    jobs = workflow("deploy.yml")["jobs"]
    assert "github.event_name == 'pull_request'" in jobs["diff"]["if"]
    assert "head.repo.full_name == github.repository" in jobs["diff"]["if"]
    assert "environment" not in jobs["diff"]
    assert jobs["dev"]["if"] == "github.event_name == 'push'"
    assert jobs["prod"]["needs"] == "dev"
    assert {jobs[stage]["with"]["stage"] for stage in STAGES} == set(STAGES)
    (deploy,) = workflow("deploy-stage.yml")["jobs"].values()
    assert deploy["environment"] == "${{ inputs.stage }}"


def test_the_check_waits_for_the_run_that_its_upload_starts() -> None:
    check = runpy.run_path(str(EXAMPLE / "check.py"))
    options: Any = {"region_name": "us-east-1", "aws_access_key_id": "id", "aws_secret_access_key": "key"}
    s3, states = boto3.client("s3", **options), boto3.client("stepfunctions", **options)
    upload = {"Bucket": "bucket", "Key": "incoming/pipeline/census.csv", "Body": b"CensusId\n"}
    with Stubber(s3) as stub:
        stub.add_response("put_object", {"VersionId": "v1"}, upload)
        name = check["start_run"](s3, "bucket", b"CensusId\n")
    assert re.fullmatch("census-[a-z2-7]{10}", name)
    arn = f"arn:aws:states:us-east-1:123456789012:execution:census-segmentation:{name}"
    with Stubber(states) as stub:
        stub.add_client_error("describe_execution", "ExecutionDoesNotExist", expected_params={"executionArn": arn})
        for status in ("RUNNING", "FAILED"):
            stub.add_response(
                "describe_execution",
                {"executionArn": arn, "stateMachineArn": "machine", "startDate": 0, "status": status},
                {"executionArn": arn},
            )
        assert check["wait_for_end"](states, arn, poll_seconds=0) == "FAILED"
        stub.assert_no_pending_responses()
