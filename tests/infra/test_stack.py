"""What the stack is made of: buckets, functions, trigger, janitor, notifications, encryption."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from aws_cdk.assertions import Match, Matcher, Template

from contract.names import ARTIFACT_TAG, METRICS, METRICS_NAMESPACE
from contract.run_settings import VARIABLE, RunSettings
from infra.functions import function_specs
from infra.settings import Settings
from tests.infra.synthesis import BUDGET, KMS, ROOT, new_stack, resources, template_of

_COUNT_ONE_LEAK = """
from lambdas.support.runtime import count, entry_point
from tests.unit.lambdas.test_start_run import CONTEXT
entry_point(lambda event, context: count(LeaksFound=1))({}, CONTEXT)
"""
HANDLERS = {spec.name for spec in function_specs(Settings())}


@pytest.fixture(scope="module")
def template() -> Template:
    return Template.from_stack(new_stack())


def test_the_stack_has_no_custom_resource(template: Template) -> None:
    kinds = {each["Type"] for each in template_of()["Resources"].values()}
    assert not {kind for kind in kinds if kind.startswith("Custom::") or kind == "AWS::CloudFormation::CustomResource"}


class TestBuckets:
    def test_every_bucket_is_versioned_encrypted_and_closed_to_the_public(self, template: Template) -> None:
        for name, bucket in resources(template_of(), "AWS::S3::Bucket").items():
            properties = bucket["Properties"]
            assert properties["VersioningConfiguration"] == {"Status": "Enabled"}, name
            assert properties["BucketEncryption"], name
            assert all(properties["PublicAccessBlockConfiguration"].values()), name
            assert len(properties["PublicAccessBlockConfiguration"]) == 4, name

    def test_every_bucket_refuses_plain_http(self, template: Template) -> None:
        template.resource_count_is("AWS::S3::Bucket", 3)
        policies = resources(template_of(), "AWS::S3::BucketPolicy")
        assert len(policies) == 3
        for policy in policies.values():
            denials = [s for s in policy["Properties"]["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
            assert [s["Condition"] for s in denials] == [{"Bool": {"aws:SecureTransport": "false"}}]

    def test_objects_that_land_are_announced_to_eventbridge(self, template: Template) -> None:
        announced = [
            bucket
            for bucket in resources(template_of(), "AWS::S3::Bucket").values()
            if "NotificationConfiguration" in bucket["Properties"]
        ]
        (incoming,) = announced
        assert incoming["Properties"]["NotificationConfiguration"] == {
            "EventBridgeConfiguration": {"EventBridgeEnabled": True}
        }

    def test_artifacts_expire_and_inputs_and_results_do_not(self) -> None:
        rules = {
            rule["Id"]: rule
            for bucket in resources(template_of(artifact_expiry_days=7), "AWS::S3::Bucket").values()
            for rule in bucket["Properties"]["LifecycleConfiguration"]["Rules"]
        }
        expiring = {name for name, rule in rules.items() if "ExpirationInDays" in rule}
        assert expiring == {"expire-artifacts", "expire-logs"}
        assert rules["expire-artifacts"]["ExpirationInDays"] == 7
        (tag,) = rules["expire-artifacts"]["TagFilters"]
        assert (tag["Key"], tag["Value"]) == ARTIFACT_TAG

    def test_the_data_of_an_expired_artifact_goes_a_day_later(self) -> None:
        """In a versioned bucket, an expiration alone hides the object and keeps its data."""
        buckets = resources(template_of(artifact_expiry_days=7), "AWS::S3::Bucket").values()
        rules = [rule for each in buckets for rule in each["Properties"]["LifecycleConfiguration"]["Rules"]]
        by_id = {rule["Id"]: rule for rule in rules}
        assert by_id["expire-artifacts"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
        assert by_id["remove-delete-markers"]["ExpiredObjectDeleteMarker"] is True

    def test_data_outlives_the_stack_unless_told_otherwise(self) -> None:
        kept = {each["DeletionPolicy"] for each in resources(template_of(), "AWS::S3::Bucket").values()}
        dropped = {each["DeletionPolicy"] for each in resources(template_of(**BUDGET), "AWS::S3::Bucket").values()}
        assert (kept, dropped) == ({"Retain"}, {"Delete"})


class TestFunctions:
    def test_each_handler_is_a_function(self) -> None:
        functions = resources(template_of(), "AWS::Lambda::Function").values()
        assert {each["Properties"]["Handler"] for each in functions} == {f"lambdas.{name}.handler" for name in HANDLERS}
        for name in HANDLERS:
            assert (ROOT / "lambdas" / f"{name}.py").is_file()

    def test_each_has_a_role_a_log_group_a_time_limit_and_traces(self) -> None:
        functions = list(resources(template_of(), "AWS::Lambda::Function").values())
        for function in functions:
            properties = function["Properties"]
            assert properties["MemorySize"] >= 256
            assert properties["TracingConfig"] == {"Mode": "Active"}
        for distinct in ("Role", "LoggingConfig"):
            assert len({json.dumps(each["Properties"][distinct]) for each in functions}) == len(functions)

    def test_only_functions_that_read_arrays_carry_the_science_layer(self) -> None:
        carrying = {
            each["Properties"]["Handler"].split(".")[1]
            for each in resources(template_of(), "AWS::Lambda::Function").values()
            if len(each["Properties"]["Layers"]) == 2
        }
        clustering = {"choose_clusters", "fresh_starts", "refine", "align", "adopt", "stability"}
        assert carrying == {"prepare", "project", "label", "publish"} | clustering

    def test_each_has_the_same_settings_in_full(self) -> None:
        expressions = {
            json.dumps(each["Properties"]["Environment"]["Variables"]["RUN_SETTINGS"])
            for each in resources(template_of(), "AWS::Lambda::Function").values()
        }
        (expression,) = expressions
        separator, parts = json.loads(expression)["Fn::Join"]
        text = separator.join(part if isinstance(part, str) else "token" for part in parts)
        settings = RunSettings.from_environment({VARIABLE: text})
        assert (settings.num_components, settings.kms_key_arn, settings.clusters) == (None, None, 8)
        assert settings.images["pca"] == "token.dkr.ecr.token.token/pca:1"

    def test_time_limits_come_from_the_settings(self) -> None:
        functions = resources(template_of(inference_timeout_seconds=77), "AWS::Lambda::Function").values()
        limits = {each["Properties"]["Handler"]: each["Properties"]["Timeout"] for each in functions}
        assert limits["lambdas.project.handler"] == limits["lambdas.label.handler"] == 77

    def test_what_nobody_waits_for_and_no_queue_keeps_has_a_dead_letter_queue(self) -> None:
        kept = {
            each["Properties"]["Handler"]
            for each in resources(template_of(), "AWS::Lambda::Function").values()
            if "DeadLetterConfig" in each["Properties"]
        }
        assert kept == {"lambdas.sweep.handler"}

    def test_logs_are_kept_as_long_as_the_settings_say(self) -> None:
        groups = resources(template_of(log_retention_days=3), "AWS::Logs::LogGroup").values()
        assert {each["Properties"]["RetentionInDays"] for each in groups} == {3}


def looks_into_the_queue(wait_seconds: int) -> Matcher:
    """Return what a target of a rule must be that invokes ``start_run`` for the events in the queue."""
    function = {"Fn::GetAtt": [Match.string_like_regexp("StartRun"), "Arn"]}
    return Match.object_like(
        {"Arn": function, "Input": json.dumps({"wait_seconds": wait_seconds}, separators=(",", ":"))}
    )


class TestRules:
    def test_an_object_under_incoming_starts_a_run_and_is_kept_if_that_fails(self, template: Template) -> None:
        template.has_resource_properties(
            "AWS::Events::Rule",
            {
                "EventPattern": {
                    "source": ["aws.s3"],
                    "detail-type": ["Object Created"],
                    "detail": {"object": {"key": [{"prefix": "incoming/"}]}},
                },
                "Targets": [
                    {
                        "Arn": {"Fn::GetAtt": [Match.string_like_regexp("TriggerQueue"), "Arn"]},
                        "SqsParameters": {"MessageGroupId": "runs"},
                        "DeadLetterConfig": Match.any_value(),
                        "RetryPolicy": {
                            "MaximumEventAgeInSeconds": timedelta(days=1).total_seconds(),
                            "MaximumRetryAttempts": 20,
                        },
                    },
                    looks_into_the_queue(5),
                ],
            },
        )

    def test_objects_wait_in_a_queue_in_order_and_are_given_up_after_five_attempts(self, template: Template) -> None:
        queue = {"FifoQueue": True, "MessageRetentionPeriod": 14 * 86_400}
        template.has_resource_properties("AWS::SQS::Queue", {**queue, "RedrivePolicy": {"maxReceiveCount": 5}})
        template.resource_count_is("AWS::Lambda::EventSourceMapping", 0)

    def test_a_message_stays_hidden_as_long_as_its_invocation_may_take(self) -> None:
        template = template_of()
        (hidden,) = {
            each["Properties"]["VisibilityTimeout"]
            for each in resources(template, "AWS::SQS::Queue").values()
            if "VisibilityTimeout" in each["Properties"]
        }
        limits = {
            each["Properties"]["Handler"]: each["Properties"]["Timeout"]
            for each in resources(template, "AWS::Lambda::Function").values()
        }
        assert hidden >= limits["lambdas.start_run.handler"]

    def test_the_end_of_a_run_starts_the_next(self, template: Template) -> None:
        ended = {"status": ["SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT"], "stateMachineArn": Match.any_value()}
        rule = {"EventPattern": {"source": ["aws.states"], "detail": ended}, "Targets": [looks_into_the_queue(5)]}
        template.has_resource_properties("AWS::Events::Rule", rule)

    def test_the_queue_is_looked_into_every_few_minutes(self, template: Template) -> None:
        rule = {"ScheduleExpression": "rate(5 minutes)", "Targets": [looks_into_the_queue(0)]}
        template.has_resource_properties("AWS::Events::Rule", rule)

    def test_an_execution_without_success_is_swept_after(self, template: Template) -> None:
        template.has_resource_properties(
            "AWS::Events::Rule",
            {
                "EventPattern": {
                    "source": ["aws.states"],
                    "detail": {"status": ["ABORTED", "TIMED_OUT", "FAILED"], "stateMachineArn": Match.any_value()},
                },
                "Targets": [
                    Match.object_like({"Arn": {"Fn::GetAtt": [Match.string_like_regexp("Sweep"), "Arn"]}}),
                ],
            },
        )

    def test_a_sweep_runs_every_quarter_of_an_hour(self, template: Template) -> None:
        template.has_resource_properties("AWS::Events::Rule", {"ScheduleExpression": "rate(15 minutes)"})


class TestNotifications:
    def test_each_trouble_raises_an_alarm_that_tells_the_topic(self) -> None:
        alarms = resources(template_of(), "AWS::CloudWatch::Alarm")
        names = {each["Properties"]["AlarmName"].removeprefix("census-segmentation-") for each in alarms.values()}
        assert names == {
            "run-failed",
            "run-aborted",
            "run-timed-out",
            "run-over-time",
            "file-refused",
            "dead-letters",
            "start-given-up",
            "leak-found",
            "teardown-timed-out",
            "csv-waits",
            "start-run-fails",
            "sweep-fails",
        }
        for alarm in alarms.values():
            assert len(alarm["Properties"]["AlarmActions"]) == 1
            assert alarm["Properties"]["TreatMissingData"] == "notBreaching"

    def test_alarms_watch_the_very_metrics_that_functions_write(self) -> None:
        alarm = next(
            each["Properties"]
            for each in resources(template_of(), "AWS::CloudWatch::Alarm").values()
            if each["Properties"].get("MetricName") == "LeaksFound"
        )
        function = next(iter(resources(template_of(), "AWS::Lambda::Function").values()))["Properties"]
        variables = {k: v for k, v in function["Environment"]["Variables"].items() if isinstance(v, str)}
        finished = subprocess.run(
            [sys.executable, "-c", _COUNT_ONE_LEAK],
            cwd=ROOT,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=True,
        )
        (written,) = (line for line in map(json.loads, finished.stdout.splitlines()) if "_aws" in line)
        (directive,) = written["_aws"]["CloudWatchMetrics"]
        dimensions = {name: written[name] for name in directive["Dimensions"][0]}
        assert alarm["Namespace"] == directive["Namespace"] == METRICS_NAMESPACE
        assert {each["Name"]: each["Value"] for each in alarm["Dimensions"]} == dimensions

    def test_mail_is_sent_only_to_an_address_of_the_settings(self) -> None:
        assert not resources(template_of(), "AWS::SNS::Subscription")
        (mail,) = resources(template_of(**KMS), "AWS::SNS::Subscription").values()
        assert mail["Properties"]["Endpoint"] == "team@example.com"

    def test_a_budget_is_made_only_if_asked_for(self) -> None:
        assert not resources(template_of(), "AWS::Budgets::Budget")
        (budget,) = resources(template_of(**BUDGET), "AWS::Budgets::Budget").values()
        assert budget["Properties"]["Budget"]["BudgetLimit"] == {"Amount": 50, "Unit": "USD"}
        assert len(budget["Properties"]["NotificationsWithSubscribers"]) == 2

    def test_a_dashboard_shows_every_alarm_and_every_metric(self) -> None:
        (dashboard,) = resources(template_of(), "AWS::CloudWatch::Dashboard").values()
        shown = json.dumps(dashboard)
        assert all(f'"{alarm}", "Arn"' in shown for alarm in resources(template_of(), "AWS::CloudWatch::Alarm"))
        # Step Functions' own metric of the execution's time is shown in place of RunSeconds.
        assert all(metric in shown for metric in set(METRICS) - {"RunSeconds"})


class TestEncryption:
    def test_the_topic_has_a_rotating_customer_key_in_either_mode(self) -> None:
        for settings in ({}, KMS):
            (topic,) = resources(template_of(**settings), "AWS::SNS::Topic").values()
            (key,) = resources(template_of(**settings), "AWS::KMS::Key").values()
            assert "Fn::GetAtt" in topic["Properties"]["KmsMasterKeyId"]
            assert key["Properties"]["EnableKeyRotation"] is True

    def test_alarms_may_publish_to_the_encrypted_topic(self) -> None:
        (key,) = resources(template_of(), "AWS::KMS::Key").values()
        allowed = [
            statement["Principal"].get("Service")
            for statement in key["Properties"]["KeyPolicy"]["Statement"]
            if "kms:GenerateDataKey" in statement["Action"]
        ]
        assert allowed == ["cloudwatch.amazonaws.com"]

    def test_kms_mode_encrypts_buckets_queue_and_logs_with_it(self) -> None:
        template = template_of(**KMS)
        (key_id,) = resources(template, "AWS::KMS::Key")
        key = {"Fn::GetAtt": [key_id, "Arn"]}
        buckets = [
            each["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
            for name, each in resources(template, "AWS::S3::Bucket").items()
            if "AccessLogs" not in name
        ]
        assert [each["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] for each in buckets] == [key, key]
        queues = resources(template, "AWS::SQS::Queue").values()
        assert [queue["Properties"]["KmsMasterKeyId"] for queue in queues] == [key] * 3
        groups = resources(template, "AWS::Logs::LogGroup").values()
        assert all(each["Properties"]["KmsKeyId"] == key for each in groups)

    def test_kms_mode_tells_functions_the_key_for_volumes_and_outputs(self) -> None:
        settings = json.dumps(
            next(iter(resources(template_of(**KMS), "AWS::Lambda::Function").values()))["Properties"]["Environment"]
        )
        (key_id,) = resources(template_of(**KMS), "AWS::KMS::Key")
        assert f'["{key_id}", "Arn"]' in settings

    def test_the_dead_letters_are_encrypted_in_either_mode(self) -> None:
        queues = resources(template_of(), "AWS::SQS::Queue").values()
        assert [queue["Properties"]["SqsManagedSseEnabled"] for queue in queues] == [True] * 3


class TestCopiesSideBySide:
    def test_stages_share_no_name(self) -> None:
        assert not _names(template_of()) & _names(template_of(stage="two"))

    def test_prod_is_protected_from_deletion(self) -> None:
        assert new_stack(stage="prod").termination_protection is True
        assert new_stack().termination_protection is False

    def test_tags_of_the_settings_reach_the_resources(self) -> None:
        for bucket in resources(template_of(tags={"team": "census"}), "AWS::S3::Bucket").values():
            assert {"Key": "team", "Value": "census"} in bucket["Properties"]["Tags"]
            assert {"Key": "segmentation:stack", "Value": "census-segmentation"} in bucket["Properties"]["Tags"]

    def test_account_and_region_are_open_unless_chosen(self) -> None:
        assert new_stack().environment == "aws://unknown-account/unknown-region"
        chosen = new_stack(account="111122223333", region="us-east-1")
        assert chosen.environment == "aws://111122223333/us-east-1"


def _names(template: dict[str, Any]) -> set[tuple[str, str]]:
    """Return every physical name that a template gives."""
    named = ["Bucket", "Function", "StateMachine", "Queue", "Topic", "LogGroup", "Alarm", "Alias", "Dashboard", "Role"]
    fields = ["Name", *(f"{kind}Name" for kind in named)]
    # This one refers to a function by its name.
    referring = ("AWS::Lambda::Permission",)
    return {
        (each["Type"], json.dumps(each["Properties"][field]))
        for each in template["Resources"].values()
        for field in fields
        if field in each.get("Properties", {}) and each["Type"] not in referring
    }
