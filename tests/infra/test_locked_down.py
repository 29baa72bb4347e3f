"""The settings for accounts with rules: roles, network, existing buckets and keys, the bootstrap's qualifier."""

import json
from typing import Any

import pytest

from infra.settings import Settings, SettingsError
from tests.infra.synthesis import resources, template_of

BOUNDARY = "arn:aws:iam::123456789012:policy/Boundary"
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
VPC = {
    "vpc_subnet_ids": ["subnet-0a10a10a10a10a10a", "subnet-0b20b20b20b20b20b"],
    "vpc_security_group_ids": ["sg-0c30c30c30c30c30c"],
}
LOCKED = {
    "permissions_boundary": BOUNDARY,
    "role_path": "/segmentation/",
    "role_name_prefix": "app-",
    "existing_incoming_bucket": "their-incoming",
    "existing_results_bucket": "their-results",
    "existing_key_arn": KEY,
    "encryption": "kms",
    "name": "a-name-of-20-letters",
    **VPC,
}


def roles(**settings: Any) -> list[dict[str, Any]]:
    found = [each["Properties"] for each in resources(template_of(**settings), "AWS::IAM::Role").values()]
    assert len(found) > 10
    return found


def test_every_role_has_the_permissions_boundary() -> None:
    assert {role.get("PermissionsBoundary") for role in roles(**LOCKED)} == {BOUNDARY}
    assert {role.get("PermissionsBoundary") for role in roles()} == {None}


def test_every_role_has_the_path_and_a_name_of_its_own_with_the_prefix() -> None:
    names = [role["RoleName"] for role in roles(**LOCKED)]
    assert all(name.startswith("app-a-name-of-20-letters-") for name in names)
    assert len(set(names)) == len(names)
    assert {role["Path"] for role in roles(**LOCKED)} == {"/segmentation/"}


def test_the_longest_prefix_leaves_room_for_every_role_name() -> None:
    """A role's name has at most 64 characters: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""
    longest = roles(role_name_prefix="p" * 24, name="a-name-of-20-letters")
    assert max(len(role["RoleName"]) for role in longest) <= 64


def test_without_a_prefix_cloudformation_names_the_roles() -> None:
    assert not [role for role in roles() if "RoleName" in role]


def test_every_function_is_attached_to_the_vpc() -> None:
    functions = resources(template_of(**LOCKED), "AWS::Lambda::Function").values()
    expected = {"SubnetIds": VPC["vpc_subnet_ids"], "SecurityGroupIds": VPC["vpc_security_group_ids"]}
    assert [each["Properties"].get("VpcConfig") for each in functions] == [expected] * len(functions)
    assert not [
        each for each in resources(template_of(), "AWS::Lambda::Function").values() if "VpcConfig" in each["Properties"]
    ]


def test_in_a_vpc_functions_and_sagemaker_may_create_network_interfaces_and_the_state_machine_may_not() -> None:
    policies = resources(template_of(**LOCKED), "AWS::IAM::Policy")
    creating = {name for name, policy in policies.items() if "ec2:CreateNetworkInterface" in json.dumps(policy)}
    assert {name for name in policies if name not in creating} == {
        name for name in policies if name.startswith("Workflow")
    }
    assert "ec2:" not in json.dumps(template_of())


def test_existing_buckets_and_keys_are_used_and_none_are_created() -> None:
    template = template_of(**LOCKED)
    assert resources(template, "AWS::S3::Bucket") == {}
    assert resources(template, "AWS::KMS::Key") == {}
    (rule,) = [
        each["Properties"]["EventPattern"]
        for each in resources(template, "AWS::Events::Rule").values()
        if each["Properties"].get("EventPattern", {}).get("source") == ["aws.s3"]
    ]
    assert rule["detail"]["bucket"] == {"name": ["their-incoming"]}
    (topic,) = resources(template, "AWS::SNS::Topic").values()
    assert topic["Properties"]["KmsMasterKeyId"] in (KEY, KEY.rpartition("/")[2])
    assert template["Outputs"]["ResultsBucket"]["Value"] == "their-results"


def test_one_existing_bucket_leaves_the_others_to_the_stack() -> None:
    template = template_of(existing_incoming_bucket="their-incoming")
    assert {name[: len("StorageResults")] for name in resources(template, "AWS::S3::Bucket")} == {
        "StorageResults",
        "StorageAccessL",
    }


def test_the_bootstrap_qualifier_names_the_assets_bucket_and_the_version_parameter() -> None:
    template = template_of(bootstrap_qualifier="company1")
    assert template["Parameters"]["BootstrapVersion"]["Default"] == "/cdk-bootstrap/company1/version"
    (code,) = {json.dumps(each["Properties"]["Code"]) for each in resources(template, "AWS::Lambda::Function").values()}
    assert "cdk-company1-assets-" in code


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("permissions_boundary", "Boundary"),
        ("role_path", "segmentation"),
        ("role_name_prefix", "with space"),
        ("existing_incoming_bucket", "UpperCase"),
        ("existing_key_arn", "alias/key"),
        ("bootstrap_qualifier", "longer-than-ten"),
        ("vpc_subnet_ids", ["vpc-0a1"]),
        ("network_isolation", "yes"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(setting: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=setting):
        Settings.from_context({"segmentation": {setting: value}})


def test_subnets_without_security_groups_are_refused() -> None:
    with pytest.raises(SettingsError, match="expected both, or neither"):
        Settings.from_context({"segmentation": {"vpc_subnet_ids": ["subnet-0a10a10a10a10a10a"]}})
