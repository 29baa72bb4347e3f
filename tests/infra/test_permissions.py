"""Who may do what: the whole of it, read from the synthesized policies."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra import grants, sagemaker_role
from tests.infra.synthesis import KMS, resources, template_of

EVERY_FUNCTION = {"logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords"}
LISTS = {f"sagemaker:List{kind}" for kind in ("Endpoints", "EndpointConfigs", "Models", "TrainingJobs")}
REMOVALS = {f"sagemaker:{action}" for action in ("DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel")} | {
    "sagemaker:StopTrainingJob"
}
IN_VPC = {"vpc_subnet_ids": ["subnet-0a1"], "vpc_security_group_ids": ["sg-0c3"]}
TELL = {"sns:Publish", "kms:Decrypt", "kms:GenerateDataKey"}

ALLOWED = {
    "StartRun": {
        "states:StartExecution",
        "states:ListExecutions",
        "s3:GetObject",
        "s3:GetObjectVersion",
        *(f"sqs:{action}" for action in ("SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility")),
    },
    "Prepare": {
        "s3:ListBucket",
        "s3:GetObjectVersion",
        "s3:PutObject",
        "s3:AbortMultipartUpload",
        "s3:PutObjectTagging",
    },
    "LaunchTraining": {
        *(f"sagemaker:{action}" for action in ("CreateTrainingJob", "DescribeTrainingJob", "AddTags", "ListTags")),
        "iam:PassRole",
    },
    "LaunchEndpoint": {
        *(f"sagemaker:Create{kind}" for kind in ("Model", "EndpointConfig", "Endpoint")),
        *(
            f"sagemaker:{action}"
            for action in ("DescribeModel", "DescribeEndpoint", "DescribeEndpointConfig", "AddTags", "ListTags")
        ),
        "iam:PassRole",
    },
    "Project": {"s3:GetObject", "s3:PutObject", "s3:PutObjectTagging", "sagemaker:InvokeEndpoint"},
    "ChooseClusters": {"s3:GetObject", "s3:PutObject"},
    "FreshStarts": {"s3:GetObject", "s3:PutObject", "s3:PutObjectTagging"},
    "Refine": {"s3:GetObject", "s3:PutObject"},
    "Align": {"s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:PutObjectTagging"},
    "Adopt": {"s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:PutObjectTagging"},
    "Stability": {"s3:GetObject", "s3:PutObject"},
    "Label": {"s3:GetObject", "s3:PutObject", "s3:PutObjectTagging", "sagemaker:InvokeEndpoint"},
    "Publish": {
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
        "s3:AbortMultipartUpload",
        "states:GetExecutionHistory",
        "events:PutEvents",
        *TELL,
    },
    "RecordFailure": {"s3:PutObject", "states:ListMapRuns", "states:ListExecutions", "states:DescribeExecution", *TELL},
    "Teardown": LISTS | REMOVALS | {"sagemaker:ListTags", "sagemaker:DescribeEndpoint"},
    "Sweep": LISTS
    | REMOVALS
    | {f"logs:{action}" for action in ("DescribeLogGroups", "PutRetentionPolicy", "DeleteLogGroup")}
    | {"sagemaker:ListTags", "sagemaker:DescribeEndpoint", "states:DescribeExecution", "sqs:SendMessage"},
}


def statements(role: str, **settings: Any) -> Iterator[dict[str, Any]]:
    """Return the statements of the roles whose logical id holds `role`."""
    template = template_of(**settings)
    for policy in resources(template, "AWS::IAM::Policy").values():
        (attached,) = policy["Properties"]["Roles"]
        if attached["Ref"].startswith(role):
            yield from policy["Properties"]["PolicyDocument"]["Statement"]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def actions(role: str, **settings: Any) -> set[str]:
    return {action for statement in statements(role, **settings) for action in as_list(statement["Action"])}


def on(role: str, action: str, **settings: Any) -> list[str]:
    """Return the resources on which a role may do something, as JSON text."""
    return [
        json.dumps(resource)
        for statement in statements(role, **settings)
        if action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]


@pytest.mark.parametrize("function", ALLOWED)
def test_a_function_may_do_this_and_nothing_else(function: str) -> None:
    assert actions(f"Functions{function}Role") == ALLOWED[function] | EVERY_FUNCTION


@pytest.mark.parametrize("settings", [{}, KMS], ids=["s3", "kms"])
def test_no_action_is_a_wildcard(settings: Any) -> None:
    for statement in statements("", **settings):
        assert not [action for action in as_list(statement["Action"]) if "*" in action]


def test_only_actions_that_take_no_resource_are_allowed_on_all() -> None:
    on_all = {
        action
        for statement in statements("")
        if "*" in as_list(statement["Resource"])
        for action in as_list(statement["Action"])
    }
    assert {action for action in on_all if not action.startswith(("xray:", "logs:"))} == LISTS | {
        "ecr:GetAuthorizationToken",
        "cloudwatch:PutMetricData",
    }


def test_no_role_has_a_managed_policy() -> None:
    assert not [
        r for r in resources(template_of(), "AWS::IAM::Role").values() if "ManagedPolicyArns" in r["Properties"]
    ]


@pytest.mark.parametrize("function", ["LaunchTraining", "LaunchEndpoint"])
def test_a_launcher_may_pass_one_role_to_sagemaker_only(function: str) -> None:
    (passing,) = [s for s in statements(f"Functions{function}Role") if s["Action"] == "iam:PassRole"]
    assert passing["Resource"] == {"Fn::GetAtt": [passing["Resource"]["Fn::GetAtt"][0], "Arn"]}
    assert passing["Resource"]["Fn::GetAtt"][0].startswith("SageMakerRole")
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


def test_every_sagemaker_resource_is_named_by_the_stacks_prefix() -> None:
    for statement in statements(""):
        for resource in as_list(statement["Resource"]):
            text = json.dumps(resource)
            if ":sagemaker:" in text:
                assert "/census-segmentation-*" in text


def test_inference_may_invoke_the_endpoints_of_its_own_model_only() -> None:
    (project,) = on("FunctionsProjectRole", "sagemaker:InvokeEndpoint")
    (label,) = on("FunctionsLabelRole", "sagemaker:InvokeEndpoint")
    assert ":endpoint/census-segmentation-*-pca*" in project
    assert ":endpoint/census-segmentation-*-kmeans*" in label


def test_nobody_may_delete_or_overwrite_an_input() -> None:
    for statement in statements(""):
        text = json.dumps(statement["Resource"])
        if "StorageIncoming" in text:
            assert set(as_list(statement["Action"])) <= {"s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"}


def test_only_publish_may_move_what_points_to_the_latest_run() -> None:
    writers = {
        policy["Properties"]["Roles"][0]["Ref"]
        for policy in resources(template_of(), "AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if "s3:PutObject" in as_list(statement["Action"]) and "latest.json" in json.dumps(statement["Resource"])
    }
    (writer,) = writers
    assert writer.startswith("FunctionsPublishRole")


def test_the_state_machine_may_invoke_its_functions_and_ask_sagemaker() -> None:
    granted = actions("WorkflowRole")
    assert {action for action in granted if not action.startswith(("logs:", "xray:"))} == {
        "lambda:InvokeFunction",
        "sagemaker:DescribeTrainingJob",
        "sagemaker:DescribeEndpoint",
        "s3:GetObject",
        "states:StartExecution",
        "states:DescribeExecution",
        "states:StopExecution",
        "states:RedriveExecution",
    }
    invoked = " ".join(on("WorkflowRole", "lambda:InvokeFunction"))
    assert "StartRun" not in invoked
    assert "Sweep" not in invoked
    assert "*" not in invoked


def test_the_sagemaker_role_reads_and_writes_runs_only() -> None:
    assert all("/runs/*/" in resource for resource in on("SageMakerRole", "s3:GetObject"))
    (written,) = on("SageMakerRole", "s3:PutObject")
    assert "/runs/*/models/*" in written


def test_the_sagemaker_role_pulls_the_two_images_only() -> None:
    pulled = on("SageMakerRole", "ecr:BatchGetImage")
    assert ["repository/pca" in resource or "repository/kmeans" in resource for resource in pulled] == [True, True]


@pytest.mark.parametrize("role", ["FunctionsPrepareRole", "FunctionsLabelRole", "FunctionsPublishRole"])
def test_in_kms_mode_what_reads_and_writes_data_may_use_the_key(role: str) -> None:
    assert {"kms:Decrypt", "kms:GenerateDataKey"} <= actions(role, **KMS)


def test_in_s3_mode_only_what_tells_the_topic_may_use_the_key() -> None:
    using = {
        policy["Properties"]["Roles"][0]["Ref"]
        for policy in resources(template_of(), "AWS::IAM::Policy").values()
        if "kms:" in json.dumps(policy)
    }
    assert {name[: name.index("Role")] for name in using} == {"FunctionsPublish", "FunctionsRecordFailure"}


def test_in_kms_mode_sagemaker_may_grant_the_key_whatever_its_request_says_of_aws_resources() -> None:
    (statement,) = [s for s in statements("SageMakerRole", **KMS) if "kms:CreateGrant" in s["Action"]]
    assert "Condition" not in statement
    assert statement["Resource"] != "*"


def test_whatever_a_rehearsal_may_leave_unused_is_granted_and_explained() -> None:
    for (function, action), reason in grants.NOT_REHEARSED.items():
        assert reason.endswith(".")
        role = "" if function == "*" else f"Functions{''.join(w.capitalize() for w in function.split('_'))}Role"
        assert action in actions(role, **KMS), (function, action)
    for action, reason in grants.STATE_MACHINE_NOT_REHEARSED.items():
        assert action in actions("WorkflowRole"), action
        assert "https://docs.aws.amazon.com/" in reason
    for action, (reason, source) in sagemaker_role.NOT_REHEARSED.items():
        assert action in actions("SageMakerRole", **KMS, **IN_VPC), action
        assert reason.endswith(".")
        assert source.startswith("https://docs.aws.amazon.com/")


def test_in_kms_mode_the_state_machine_may_decrypt_the_list_of_shards() -> None:
    assert "kms:Decrypt" in actions("WorkflowRole", **KMS)
    assert "kms:Decrypt" not in actions("WorkflowRole")


def test_in_kms_mode_the_launcher_of_endpoints_may_grant_the_key_to_sagemaker() -> None:
    assert {"kms:CreateGrant", "kms:DescribeKey"} <= actions("FunctionsLaunchEndpointRole", **KMS)


@pytest.mark.parametrize("function", ["StartRun", "Sweep"])
def test_in_kms_mode_a_function_with_dead_letters_may_encrypt_them(function: str) -> None:
    assert {"kms:Decrypt", "kms:GenerateDataKey"} <= actions(f"Functions{function}Role", **KMS)


def test_sagemaker_may_list_the_results_whatever_prefix_its_request_has() -> None:
    """CreateTrainingJob checks the output bucket by a request without one."""
    (statement,) = [s for s in statements("SageMakerRole") if "s3:ListBucket" in s["Action"]]
    assert "Condition" not in statement


def test_in_kms_mode_the_sagemaker_role_may_encrypt_outputs() -> None:
    assert "kms:Encrypt" in actions("SageMakerRole", **KMS)


def test_in_kms_mode_eventbridge_uses_the_key_whatever_condition_keys_its_request_has() -> None:
    (key,) = resources(template_of(**KMS), "AWS::KMS::Key").values()
    unconditional = [
        set(statement["Action"])
        for statement in key["Properties"]["KeyPolicy"]["Statement"]
        if statement["Principal"] == {"Service": "events.amazonaws.com"} and "Condition" not in statement
    ]
    assert {"kms:Decrypt", "kms:GenerateDataKey"} in unconditional


def test_in_kms_mode_logs_use_the_key_under_the_partitions_own_service_name() -> None:
    """CloudWatch Logs is logs.<region>.amazonaws.com.cn in China."""
    (key,) = resources(template_of(**KMS), "AWS::KMS::Key").values()
    principals = [statement["Principal"] for statement in key["Properties"]["KeyPolicy"]["Statement"]]
    expected = ["logs.", {"Ref": "AWS::Region"}, ".", {"Ref": "AWS::URLSuffix"}]
    assert {"Service": {"Fn::Join": ["", expected]}} in principals
