"""Behaviour of AWS that ministack has only with our fixes."""

from __future__ import annotations

import json
import math
import socket
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from embedded_aws.cloud.instance import Cloud
from tests.cloud import Workshop, eventually

INVOKE = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"}
END = {"Type": "Pass", "End": True}


def task(function: str, **rest: Any) -> dict[str, Any]:
    invoke = {"FunctionName": function, "Payload.$": "$"}
    rest = rest if "Next" in rest else {"End": True, **rest}
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": invoke,
        "OutputPath": "$.Payload",
        **rest,
    }


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An embedded AWS in which Wait states last as long as they say, scaled by its pace."""
    with Cloud.start(tmp_path_factory.mktemp("cloud"), longest_wait=math.inf) as running:
        yield running


@pytest.fixture(scope="session")
def workshop(cloud: Cloud) -> Workshop:
    """A maker of functions and state machines in that embedded AWS."""
    return Workshop(cloud)


def wait(seconds: int = 1, **rest: Any) -> dict[str, Any]:
    rest = rest if "Next" in rest else {"End": True, **rest}
    return {"Type": "Wait", "Seconds": seconds, **rest}


def branch(start: str, **states: Any) -> dict[str, Any]:
    return {"StartAt": start, "States": states}


class TestFunctions:
    @pytest.fixture
    def erratic(self, workshop: Workshop) -> str:
        return workshop.function(
            """
            import os, signal, sys, time
            class InvalidThing(Exception): pass
            print("cold")
            def handler(event, context):
                print("called")
                how = (event or {}).get("how")
                if how == "raise": raise InvalidThing("row 3")
                if how == "exit": os._exit(3)
                if how == "kill": os.kill(os.getpid(), signal.SIGKILL)
                if how == "hang": time.sleep(60)
                if how == "fill":
                    kept = bytearray(b"x" * 400 * 1024 * 1024)
                    time.sleep(60)
                return {"pid": os.getpid()}
            """,
            Timeout=3,
        )

    def test_an_exception_is_reported_by_its_class(self, workshop: Workshop, erratic: str) -> None:
        error = workshop.invoke(erratic, {"how": "raise"})
        assert error["errorType"] == "InvalidThing"
        assert error["errorMessage"] == "row 3"
        assert "index.py" in error["stackTrace"][0]

    def test_an_environment_is_used_again_even_after_an_exception(self, workshop: Workshop, erratic: str) -> None:
        first = workshop.invoke(erratic)
        workshop.invoke(erratic, {"how": "raise"})
        assert workshop.invoke(erratic) == first

    @pytest.mark.parametrize(("how", "end"), [("exit", "exit status 3"), ("kill", "signal: killed")])
    def test_a_dead_process_is_an_exit_error(self, workshop: Workshop, erratic: str, how: str, end: str) -> None:
        before = workshop.invoke(erratic)
        error = workshop.invoke(erratic, {"how": how})
        assert error["errorType"] == "Runtime.ExitError"
        assert error["errorMessage"].endswith(f"Error: Runtime exited with error: {end}")
        assert workshop.invoke(erratic) != before

    def test_a_function_that_hangs_is_timed_out(self, workshop: Workshop, erratic: str) -> None:
        error = workshop.invoke(erratic, {"how": "hang"})
        assert error["errorType"] == "Sandbox.Timedout"
        assert error["errorMessage"].endswith("Error: Task timed out after 3.00 seconds")

    def test_a_function_that_takes_more_memory_than_it_has_is_killed(self, workshop: Workshop, erratic: str) -> None:
        error = workshop.invoke(erratic, {"how": "fill"})
        assert error["errorType"] == "Runtime.ExitError"
        assert error["errorMessage"].endswith("signal: killed")

    def test_a_module_that_cannot_be_loaded_is_an_import_error(self, workshop: Workshop) -> None:
        broken = workshop.function("import no_such_module")
        assert workshop.invoke(broken)["errorType"] == "Runtime.ImportModuleError"

    def test_calls_at_the_same_time_have_environments_of_their_own(self, workshop: Workshop) -> None:
        slow = workshop.function(
            """
            import os, time
            def handler(event, context):
                time.sleep(0.5)
                return os.getpid()
            """
        )
        pids: list[int] = []
        threads = [threading.Thread(target=lambda: pids.append(workshop.invoke(slow))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(pids)) == 3

    def test_a_function_sees_lambdas_variables_and_nothing_of_its_hosts(self, workshop: Workshop, cloud: Cloud) -> None:
        shows = workshop.function(
            "import os\ndef handler(event, context): return dict(os.environ)",
            Environment={"Variables": {"MINE": "1"}},
        )
        variables = workshop.invoke(shows)
        assert variables["AWS_LAMBDA_FUNCTION_NAME"] == shows
        assert variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
        assert variables["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.12"
        assert variables["AWS_REGION"] == cloud.region
        assert variables["AWS_ENDPOINT_URL"] == cloud.endpoint_url
        assert variables["MINE"] == "1"
        assert variables["AWS_ACCESS_KEY_ID"].startswith("ASIA")
        assert not {"GATEWAY_PORT", "AUTH", "HOME", "EMBEDDED_AWS_SETTINGS"} & set(variables)
        assert cloud.secret_key not in variables.values()

    @pytest.mark.parametrize("package", ["jobs", "embedded_aws", "pandas", "scipy.optimize", "sklearn"])
    def test_a_function_imports_nothing_that_is_in_no_layer(self, workshop: Workshop, package: str) -> None:
        code = f"def handler(event, context):\n    import {package}"
        assert workshop.invoke(workshop.function(code))["errorType"] == "ModuleNotFoundError"

    def test_a_function_may_do_what_its_role_allows_and_no_more(self, workshop: Workshop) -> None:
        code = """
            import boto3
            def handler(event, context):
                return len(boto3.client("s3").list_buckets()["Buckets"])
            """
        listing = {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}
        assert isinstance(workshop.invoke(workshop.function(code, listing)), int)
        assert "AccessDenied" in workshop.invoke(workshop.function(code))["errorMessage"]

    def test_output_goes_to_cloudwatch_logs(self, workshop: Workshop, cloud: Cloud) -> None:
        loud = workshop.function("print('loading')\ndef handler(event, context): print('called with', event)")
        workshop.invoke(loud, {"a": 1})
        events = cloud.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{loud}")["events"]
        messages = [event["message"] for event in events]
        assert "loading" in messages
        assert "called with {'a': 1}" in messages

    def test_a_report_line_says_how_much_memory_the_function_allocated(self, workshop: Workshop, cloud: Cloud) -> None:
        hungry = workshop.function("def handler(event, context):\n    global held\n    held = b'x' * 64 * 1024**2")
        workshop.invoke(hungry)
        events = cloud.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{hungry}")["events"]
        [report] = [event["message"] for event in events if event["message"].startswith("REPORT ")]
        assert 64 <= int(report.partition("Max Memory Used: ")[2].removesuffix(" MB")) < 128

    def test_an_asynchronous_call_is_tried_three_times_and_then_goes_to_the_dead_letters(
        self, workshop: Workshop, cloud: Cloud, queue: tuple[str, str]
    ) -> None:
        fails = workshop.function(
            "def handler(event, context):\n    print('tried')\n    raise ValueError(event)",
            {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue[1]},
            DeadLetterConfig={"TargetArn": queue[1]},
        )
        cloud.client("lambda").invoke(FunctionName=fails, InvocationType="Event", Payload=json.dumps({"key": "value"}))
        dead = received(cloud, queue, 20)
        events = cloud.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{fails}")["events"]
        assert [event["message"] for event in events].count("tried") == 3
        assert json.loads(dead["Body"]) == {"key": "value"}


class TestEndingExecutions:
    def test_an_execution_over_its_time_limit_is_timed_out(self, workshop: Workshop, cloud: Cloud) -> None:
        machine = workshop.machine("Long", {"Long": wait(600)}, TimeoutSeconds=1)
        ended = workshop.run(machine)
        assert ended["status"] == "TIMED_OUT"
        assert "output" not in ended
        history = cloud.client("stepfunctions").get_execution_history(executionArn=ended["executionArn"])["events"]
        assert history[-1]["type"] == "ExecutionTimedOut"

    def test_an_execution_over_its_time_limit_is_announced_on_the_event_bus(
        self, workshop: Workshop, cloud: Cloud, queue: tuple[str, str]
    ) -> None:
        machine = workshop.machine("Long", {"Long": wait(600)}, TimeoutSeconds=1)
        let_events_send(cloud, queue)
        events, name = cloud.client("events"), f"ended-{uuid.uuid4().hex[:8]}"
        pattern = {
            "source": ["aws.states"],
            "detail-type": ["Step Functions Execution Status Change"],
            "detail": {"status": ["TIMED_OUT"], "stateMachineArn": [machine]},
        }
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, Targets=[{"Id": "q", "Arn": queue[1]}])
        execution = workshop.run(machine)["executionArn"]
        detail = json.loads(received(cloud, queue)["Body"])["detail"]
        assert detail["executionArn"] == execution
        assert detail["redriveStatus"] == "REDRIVABLE"

    def test_no_further_state_starts_after_stopping(self, workshop: Workshop, cloud: Cloud) -> None:
        later = {"Wait": wait(25, Next="Later"), "Later": END}
        mapped = {
            "Type": "Map",
            "ItemsPath": "$.items",
            "ItemProcessor": branch("Each", Each=wait(25, Next="AfterEach"), AfterEach=END),
            "End": True,
        }
        both = {"Type": "Parallel", "Branches": [branch("Wait", **later), branch("Map", Map=mapped)], "End": True}
        execution = workshop.start(workshop.machine("Both", {"Both": both}), {"items": [1, 2]})
        eventually(lambda: workshop.entered(execution).count("Each") == 2)
        cloud.client("stepfunctions").stop_execution(executionArn=execution, error="Enough", cause="by hand")
        ended = workshop.end(execution)
        # When another execution that waits equally long has ended, the stopped one would have continued.
        workshop.run(workshop.machine("Wait", {"Wait": wait(25, Next="Later"), "Later": END}))
        assert (ended["status"], ended["error"], ended["cause"]) == ("ABORTED", "Enough", "by hand")
        assert ended["stopDate"] >= ended["startDate"]
        assert not {"Later", "AfterEach"} & set(workshop.entered(execution))

    def test_stopping_aborts_the_children_of_a_distributed_map(self, workshop: Workshop, cloud: Cloud) -> None:
        states = cloud.client("stepfunctions")
        machine = workshop.machine("Each", {"Each": distributed(branch("Slow", Slow=wait(600)))}, START)
        execution = workshop.start(machine, {"items": [1, 2]})
        run = eventually(lambda: states.list_map_runs(executionArn=execution)["mapRuns"])[0]["mapRunArn"]
        eventually(lambda: len(states.list_executions(mapRunArn=run)["executions"]) == 2)
        states.stop_execution(executionArn=execution)
        eventually(lambda: states.describe_map_run(mapRunArn=run)["status"] == "ABORTED")
        assert {child["status"] for child in states.list_executions(mapRunArn=run)["executions"]} == {"ABORTED"}

    def test_a_branch_that_fails_stops_the_others_at_once(self, workshop: Workshop) -> None:
        fails = branch("Fails", Fails={"Type": "Fail", "Error": "Broken"})
        # Slow would take longer than `run` waits for the end.
        slow = branch("Slow", Slow=wait(6000, Next="Later"), Later=END)
        both = {"Type": "Parallel", "Branches": [slow, fails], "End": True}
        ended = workshop.run(workshop.machine("Both", {"Both": both}))
        assert (ended["status"], ended["error"]) == ("FAILED", "Broken")
        assert "Later" not in workshop.entered(ended["executionArn"])


class TestStartingExecutions:
    def test_starting_again_with_the_same_input_returns_the_running_execution(self, workshop: Workshop) -> None:
        machine = workshop.machine("Long", {"Long": wait(100)})
        first = workshop.start(machine, {"a": 1}, name="same")
        assert workshop.start(machine, {"a": 1}, name="same") == first

    def test_the_name_with_another_input_is_refused(self, workshop: Workshop) -> None:
        machine = workshop.machine("Long", {"Long": wait(100)})
        workshop.start(machine, {"a": 1}, name="same")
        with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
            workshop.start(machine, {"a": 2}, name="same")

    def test_the_name_of_an_ended_execution_is_refused(self, workshop: Workshop) -> None:
        machine = workshop.machine("Short", {"Short": END})
        workshop.end(workshop.start(machine, {}, name="same"))
        with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
            workshop.start(machine, {}, name="same")


START = {"Effect": "Allow", "Action": "states:StartExecution", "Resource": "*"}


def distributed(processor: dict[str, Any], **rest: Any) -> dict[str, Any]:
    configured = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, **processor}
    source = {} if "ItemReader" in rest else {"ItemsPath": "$.items"}
    return {"Type": "Map", **source, "ItemProcessor": configured, "End": True, **rest}


class TestRedriving:
    @pytest.fixture
    def mended(self, workshop: Workshop, cloud: Cloud) -> tuple[str, str]:
        """A function that fails until an object exists, and that object's bucket."""
        bucket = f"switch-{uuid.uuid4().hex[:8]}"
        cloud.client("s3").create_bucket(Bucket=bucket)
        reads = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}
        function = workshop.function(
            f"""
            import boto3
            def handler(event, context):
                boto3.client("s3").head_object(Bucket="{bucket}", Key="on")
                return event
            """,
            reads,
        )
        return function, bucket

    def test_a_redriven_execution_continues_where_it_failed(
        self, workshop: Workshop, cloud: Cloud, mended: tuple[str, str]
    ) -> None:
        function, bucket = mended
        stamp = {"Type": "Pass", "Parameters": {"given.$": "$", "execution.$": "$$.Execution"}, "End": True}
        states = {"First": {"Type": "Pass", "Next": "Second"}, "Second": task(function, Next="Third"), "Third": stamp}
        failed = workshop.run(workshop.machine("First", states, INVOKE), {"a": 1})
        assert (failed["status"], failed["redriveStatus"]) == ("FAILED", "REDRIVABLE")
        cloud.client("s3").put_object(Bucket=bucket, Key="on", Body=b"")
        execution = failed["executionArn"]
        cloud.client("stepfunctions").redrive_execution(executionArn=execution)
        ended = workshop.end(execution)
        output = json.loads(ended["output"])
        assert (ended["status"], ended["redriveCount"]) == ("SUCCEEDED", 1)
        assert "error" not in ended
        assert output["given"] == {"a": 1}
        assert output["execution"]["RedriveCount"] == 1
        assert output["execution"]["RedriveTime"] > output["execution"]["StartTime"]
        assert workshop.entered(execution) == ["First", "Second", "Second", "Third"]
        history = cloud.client("stepfunctions").get_execution_history(executionArn=execution)["events"]
        redriven = [event for event in history if event["type"] == "ExecutionRedriven"]
        assert [event["executionRedrivenEventDetails"]["redriveCount"] for event in redriven] == [1]

    def test_branches_that_had_succeeded_are_not_run_again(
        self, workshop: Workshop, cloud: Cloud, mended: tuple[str, str]
    ) -> None:
        function, bucket = mended
        good = branch("Good", Good={"Type": "Pass", "Result": "kept", "End": True})
        bad = branch("Wait", Wait=wait(10, Next="Bad"), Bad=task(function))
        both = {"Type": "Parallel", "Branches": [good, bad], "End": True}
        failed = workshop.run(workshop.machine("Both", {"Both": both}, INVOKE), {"a": 1})
        cloud.client("s3").put_object(Bucket=bucket, Key="on", Body=b"")
        execution = failed["executionArn"]
        cloud.client("stepfunctions").redrive_execution(executionArn=execution)
        assert json.loads(workshop.end(execution)["output"]) == ["kept", {"a": 1}]
        first, *branches, failing, again, redriven = workshop.entered(execution)
        assert (first, sorted(branches)) == ("Both", ["Good", "Wait"])
        assert (failing, again, redriven) == ("Bad", "Both", "Bad")

    def test_a_redriven_execution_continues_in_the_state_where_it_was_aborted(
        self, workshop: Workshop, cloud: Cloud
    ) -> None:
        states = cloud.client("stepfunctions")
        both = {
            "Type": "Parallel",
            "Branches": [branch("A", A={"Type": "Pass", "Next": "B"}, B=wait(200))],
            "End": True,
        }
        execution = workshop.start(workshop.machine("Both", {"Both": both}))
        eventually(lambda: "B" in workshop.entered(execution))
        states.stop_execution(executionArn=execution)
        states.redrive_execution(executionArn=execution)
        assert workshop.end(execution)["status"] == "SUCCEEDED"
        assert workshop.entered(execution) == ["Both", "A", "B", "Both", "B"]

    def test_a_running_or_succeeded_execution_cannot_be_redriven(self, workshop: Workshop, cloud: Cloud) -> None:
        ended = workshop.run(workshop.machine("Short", {"Short": END}))
        assert ended["redriveStatus"] == "NOT_REDRIVABLE"
        with pytest.raises(ClientError, match="ExecutionNotRedrivable"):
            cloud.client("stepfunctions").redrive_execution(executionArn=ended["executionArn"])


class TestStates:
    def test_branches_have_context_objects_of_their_own(self, workshop: Workshop) -> None:
        def named(name: str) -> dict[str, Any]:
            show = {"Type": "Pass", "Parameters": {"name.$": "$$.State.Name"}, "End": True}
            return branch(f"W{name}", **{f"W{name}": wait(5, Next=name), name: show})

        both = {"Type": "Parallel", "Branches": [named("A"), named("B")], "End": True}
        ended = workshop.run(workshop.machine("Both", {"Both": both}))
        assert json.loads(ended["output"]) == [{"name": "A"}, {"name": "B"}]

    def test_the_history_includes_states_within_branches(self, workshop: Workshop) -> None:
        both = {"Type": "Parallel", "Branches": [branch("Inner", Inner=END)], "End": True}
        ended = workshop.run(workshop.machine("Outer", {"Outer": both}))
        assert workshop.entered(ended["executionArn"]) == ["Outer", "Inner"]

    def test_the_events_of_a_task_name_its_integration_in_two_parts(self, workshop: Workshop, cloud: Cloud) -> None:
        resource = "arn:aws:states:::aws-sdk:sagemaker:listModels"
        states = {"List": {"Type": "Task", "Resource": resource, "Parameters": {}, "End": True}}
        allow = {"Effect": "Allow", "Action": "sagemaker:ListModels", "Resource": "*"}
        ended = workshop.run(workshop.machine("List", states, allow))
        history = cloud.client("stepfunctions").get_execution_history(executionArn=ended["executionArn"])["events"]
        for kind in ("taskScheduledEventDetails", "taskSucceededEventDetails"):
            (details,) = [event[kind] for event in history if kind in event]
            assert (details["resourceType"], details["resource"]) == ("aws-sdk:sagemaker", "listModels")

    def test_a_path_that_does_not_exist_fails_the_execution_despite_a_catch(self, workshop: Workshop) -> None:
        catch = [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]
        inner = {"Type": "Pass", "Parameters": {"a.$": "$.missing"}, "End": True}
        outer = {"Type": "Parallel", "Branches": [branch("Inner", Inner=inner)], "Catch": catch, "End": True}
        ended = workshop.run(workshop.machine("Outer", {"Outer": outer, "Caught": END}))
        assert (ended["status"], ended["error"]) == ("FAILED", "States.Runtime")
        assert "$.missing" in ended["cause"]

    def test_a_choice_can_test_whether_a_path_exists(self, workshop: Workshop) -> None:
        asks = {"Variable": "$.missing", "IsPresent": True, "Next": "No"}
        null = {"Variable": "$.null", "IsPresent": True, "Next": "Yes"}
        choice = {"Type": "Choice", "Choices": [asks, null], "Default": "No"}
        states = {"Is": choice, "Yes": END, "No": {"Type": "Fail"}}
        assert workshop.run(workshop.machine("Is", states), {"null": None})["status"] == "SUCCEEDED"

    def test_data_over_the_limit_fails_the_state(self, workshop: Workshop) -> None:
        large = workshop.function("def handler(event, context): return 'x' * 300_000")
        ended = workshop.run(workshop.machine("Large", {"Large": task(large)}, INVOKE))
        assert (ended["status"], ended["error"]) == ("FAILED", "States.DataLimitExceeded")

    def test_retry_and_catch_match_an_exceptions_class(self, workshop: Workshop) -> None:
        fails = workshop.function("class Broken(Exception): pass\ndef handler(event, context): raise Broken('so')")
        retry = [{"ErrorEquals": ["Broken"], "IntervalSeconds": 1, "MaxAttempts": 2}]
        catch = [{"ErrorEquals": ["Broken"], "ResultPath": "$.error", "Next": "Caught"}]
        states = {"Try": task(fails, Retry=retry, Catch=catch), "Caught": END}
        ended = workshop.run(workshop.machine("Try", states, INVOKE))
        error = json.loads(ended["output"])["error"]
        assert error["Error"] == "Broken"
        assert json.loads(error["Cause"])["errorMessage"] == "so"


@pytest.fixture
def queue(cloud: Cloud) -> tuple[str, str]:
    """A queue's URL and ARN."""
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName=f"queue-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def let_events_send(cloud: Cloud, queue: tuple[str, str]) -> None:
    sender = {"Principal": {"Service": "events.amazonaws.com"}}
    policy = {"Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue[1], **sender}]}
    cloud.client("sqs").set_queue_attributes(QueueUrl=queue[0], Attributes={"Policy": json.dumps(policy)})


def received(cloud: Cloud, queue: tuple[str, str], seconds: float = 10) -> dict[str, Any]:
    ask = {"QueueUrl": queue[0], "MessageAttributeNames": ["All"]}
    messages = eventually(lambda: cloud.client("sqs").receive_message(**ask).get("Messages"), seconds)
    return dict(messages[0])


class TestEvents:
    @pytest.fixture
    def bucket(self, cloud: Cloud) -> str:
        """A versioned bucket that sends its events to the event bus."""
        s3, name = cloud.client("s3"), f"events-{uuid.uuid4().hex[:8]}"
        s3.create_bucket(Bucket=name)
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        s3.put_bucket_notification_configuration(
            Bucket=name, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        return name

    def rule(self, cloud: Cloud, source: str, target: dict[str, Any]) -> str:
        events, name = cloud.client("events"), f"rule-{uuid.uuid4().hex[:8]}"
        pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [source]}}}
        if source.startswith("own."):
            pattern = {"source": [source]}
        arn = str(events.put_rule(Name=name, EventPattern=json.dumps(pattern))["RuleArn"])
        events.put_targets(Rule=name, Targets=[{"Id": "t", **target}])
        return arn

    def send(self, cloud: Cloud, source: str) -> None:
        cloud.client("events").put_events(Entries=[{"Source": source, "DetailType": "It", "Detail": '{"a": 1}'}])

    @pytest.mark.parametrize("key", ["incoming/a b+ü.csv", "plain.csv"])
    @pytest.mark.parametrize("body", [b"content", b""])
    def test_the_event_of_a_created_object_has_its_version(
        self, cloud: Cloud, bucket: str, queue: tuple[str, str], key: str, body: bytes
    ) -> None:
        let_events_send(cloud, queue)
        self.rule(cloud, bucket, {"Arn": queue[1]})
        put = cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        event = json.loads(received(cloud, queue)["Body"])
        created = event["detail"]["object"]
        assert event["detail-type"] == "Object Created"
        assert event["detail"]["reason"] == "PutObject"
        assert created["key"] == key
        assert created["size"] == len(body)
        assert created["etag"] == put["ETag"].strip('"')
        assert created["version-id"] == put["VersionId"]
        assert created["sequencer"]

    def test_a_multipart_upload_sends_its_event_when_it_is_complete(
        self, cloud: Cloud, bucket: str, queue: tuple[str, str]
    ) -> None:
        let_events_send(cloud, queue)
        self.rule(cloud, bucket, {"Arn": queue[1]})
        s3, where = cloud.client("s3"), {"Bucket": bucket, "Key": "parts.csv"}
        upload = s3.create_multipart_upload(**where)["UploadId"]
        part = s3.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"x" * 1000)
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        done = s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=parts)
        detail = json.loads(received(cloud, queue)["Body"])["detail"]
        assert detail["reason"] == "CompleteMultipartUpload"
        assert detail["object"]["version-id"] == done["VersionId"]
        assert detail["object"]["size"] == 1000

    def test_a_function_receives_events_only_if_its_policy_allows_the_rule(
        self, workshop: Workshop, cloud: Cloud, queue: tuple[str, str]
    ) -> None:
        function = workshop.function("def handler(event, context): print('got', event['source'])")
        arn = cloud.client("lambda").get_function(FunctionName=function)["Configuration"]["FunctionArn"]
        let_events_send(cloud, queue)
        rule = self.rule(cloud, f"own.{function}", {"Arn": arn, "DeadLetterConfig": {"Arn": queue[1]}})
        self.send(cloud, f"own.{function}")
        dead = received(cloud, queue)
        attributes = {key: value["StringValue"] for key, value in dead["MessageAttributes"].items()}
        assert (attributes["RULE_ARN"], attributes["TARGET_ARN"]) == (rule, arn)
        assert attributes["ERROR_CODE"] == "NO_PERMISSIONS"
        assert json.loads(dead["Body"])["detail"] == {"a": 1}
        permission = {"Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com", "SourceArn": rule}
        cloud.client("lambda").add_permission(FunctionName=function, StatementId="rule", **permission)
        self.send(cloud, f"own.{function}")
        logs, group = cloud.client("logs"), {"logGroupName": f"/aws/lambda/{function}"}

        def is_logged() -> bool:
            groups = logs.describe_log_groups(logGroupNamePrefix=group["logGroupName"])["logGroups"]
            events = logs.filter_log_events(**group)["events"] if groups else []
            return any(event["message"] == f"got own.{function}" for event in events)

        eventually(is_logged)

    def test_a_function_that_fails_on_an_event_is_tried_again(self, workshop: Workshop, cloud: Cloud) -> None:
        function = workshop.function("def handler(event, context):\n    print('tried')\n    raise ValueError")
        configuration = cloud.client("lambda").get_function(FunctionName=function)["Configuration"]
        permission = {"Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com"}
        cloud.client("lambda").add_permission(FunctionName=function, StatementId="rule", **permission)
        self.rule(cloud, f"own.{function}", {"Arn": configuration["FunctionArn"]})
        self.send(cloud, f"own.{function}")
        logs, group = cloud.client("logs"), f"/aws/lambda/{function}"
        eventually(lambda: logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"])

        def tries() -> int:
            messages = [event["message"] for event in logs.filter_log_events(logGroupName=group)["events"]]
            return messages.count("tried")

        eventually(lambda: tries() == 3, 20)


class TestObjects:
    @pytest.fixture
    def where(self, cloud: Cloud) -> dict[str, str]:
        """An object's bucket and key; the bucket is versioned."""
        s3, name = cloud.client("s3"), f"kept-{uuid.uuid4().hex[:8]}"
        s3.create_bucket(Bucket=name)
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return {"Bucket": name, "Key": "a.csv"}

    def test_an_older_version_stays_readable(self, cloud: Cloud, where: dict[str, str]) -> None:
        s3 = cloud.client("s3")
        first = s3.put_object(**where, Body=b"first")["VersionId"]
        s3.put_object(**where, Body=b"second")
        s3.delete_object(**where)
        assert s3.get_object(**where, VersionId=first)["Body"].read() == b"first"
        assert s3.get_object(**where, VersionId=first, Range="bytes=1-2")["Body"].read() == b"ir"
        with pytest.raises(ClientError, match="NoSuchKey"):
            s3.get_object(**where)

    def test_a_version_that_never_existed_is_refused(self, cloud: Cloud, where: dict[str, str]) -> None:
        cloud.client("s3").put_object(**where, Body=b"first")
        with pytest.raises(ClientError, match=r"NoSuchVersion|InvalidArgument"):
            cloud.client("s3").get_object(**where, VersionId="null-and-void")

    def test_if_match_is_enforced(self, cloud: Cloud, where: dict[str, str]) -> None:
        s3 = cloud.client("s3")
        etag = s3.put_object(**where, Body=b"first")["ETag"]
        assert s3.get_object(**where, IfMatch=etag)["ETag"] == etag
        s3.put_object(**where, Body=b"second")
        with pytest.raises(ClientError, match=r"PreconditionFailed|412"):
            s3.get_object(**where, IfMatch=etag)
        with pytest.raises(ClientError, match=r"PreconditionFailed|412"):
            s3.put_object(**where, Body=b"third", IfNoneMatch="*")

    def test_an_upload_that_is_aborted_leaves_nothing(self, cloud: Cloud, where: dict[str, str]) -> None:
        s3 = cloud.client("s3")
        upload = s3.create_multipart_upload(**where)["UploadId"]
        s3.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"x")
        s3.abort_multipart_upload(**where, UploadId=upload)
        assert "Contents" not in s3.list_objects_v2(Bucket=where["Bucket"])
        assert "Uploads" not in s3.list_multipart_uploads(Bucket=where["Bucket"])

    def test_a_bucket_is_reached_by_its_own_host_name_too(
        self, cloud: Cloud, where: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        look_up = socket.getaddrinfo

        def local(host: str, *rest: Any, **keywords: Any) -> Any:
            # Not every machine resolves all names under localhost to itself.
            return look_up("127.0.0.1" if host.endswith(".localhost") else host, *rest, **keywords)

        monkeypatch.setattr(socket, "getaddrinfo", local)
        host = cloud.endpoint_url.replace("127.0.0.1", "s3.localhost")
        virtual = cloud.client("s3", endpoint_url=host, config=Config(s3={"addressing_style": "virtual"}))
        cloud.client("s3").put_object(**where, Body=b"content")
        assert virtual.get_object(**where)["Body"].read() == b"content"


class TestMetrics:
    def test_a_role_may_write_to_the_namespaces_it_is_granted(self, workshop: Workshop) -> None:
        code = """
            import boto3
            def handler(event, context):
                data = [{"MetricName": "m", "Value": 1.0}]
                boto3.client("cloudwatch").put_metric_data(Namespace=event, MetricData=data)
            """
        narrow = {"Condition": {"StringEquals": {"cloudwatch:namespace": "Mine"}}}
        grant = {"Effect": "Allow", "Action": "cloudwatch:PutMetricData", "Resource": "*", **narrow}
        function = workshop.function(code, grant)
        assert workshop.invoke(function, "Mine") is None
        assert "not authorized" in workshop.invoke(function, "Other")["errorMessage"]

    def test_metrics_can_be_read_after_they_were_written(self, cloud: Cloud) -> None:
        cloudwatch, name = cloud.client("cloudwatch"), uuid.uuid4().hex
        cloudwatch.put_metric_data(Namespace="Mine", MetricData=[{"MetricName": name, "Value": 2.0}])
        assert [metric["MetricName"] for metric in cloudwatch.list_metrics(MetricName=name)["Metrics"]] == [name]


class TestLogGroups:
    @pytest.mark.parametrize(
        ("action", "groups", "refused"),
        [
            ("DescribeLogGroups", "*", ""),
            ("DescribeLogGroups", "/aws/lambda/*", "log-group::log-stream:"),
            ("PutRetentionPolicy", "/own:*", ""),
            ("PutRetentionPolicy", "/own", "log-group:/own:log-stream:"),
        ],
    )
    def test_an_action_is_checked_against_the_arn_of_a_stream(
        self, workshop: Workshop, cloud: Cloud, action: str, groups: str, refused: str
    ) -> None:
        code = """
            import boto3
            def handler(event, context):
                logs = boto3.client("logs")
                if event == "DescribeLogGroups":
                    return bool(logs.describe_log_groups())
                return bool(logs.put_retention_policy(logGroupName="/own", retentionInDays=1))
            """
        logs = cloud.client("logs")
        if not logs.describe_log_groups(logGroupNamePrefix="/own")["logGroups"]:
            logs.create_log_group(logGroupName="/own")
        resource = f"arn:aws:logs:us-east-1:000000000000:log-group:{groups}"
        allowed = {"Effect": "Allow", "Action": f"logs:{action}", "Resource": resource}
        response = workshop.invoke(workshop.function(code, allowed), action)
        assert refused in response["errorMessage"] if refused else response is True


class TestTheMachinesRole:
    def test_a_function_is_invoked_only_if_the_role_allows_it(self, workshop: Workshop) -> None:
        function = workshop.function("def handler(event, context): return 1")
        assert workshop.run(workshop.machine("Do", {"Do": task(function)}, INVOKE))["status"] == "SUCCEEDED"
        ended = workshop.run(workshop.machine("Do", {"Do": task(function)}))
        assert (ended["status"], ended["error"]) == ("FAILED", "Lambda.AWSLambdaException")
        assert "is not authorized to perform: lambda:InvokeFunction" in ended["cause"]

    def test_an_sdk_call_is_made_only_if_the_role_allows_it(self, workshop: Workshop) -> None:
        asks = {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sagemaker:describeEndpoint",
            "Parameters": {"EndpointName": "none"},
            "End": True,
        }
        allowed = {"Effect": "Allow", "Action": "sagemaker:DescribeEndpoint", "Resource": "*"}
        for statements, cause in (((allowed,), "Could not find endpoint"), ((), "is not authorized to perform")):
            ended = workshop.run(workshop.machine("Ask", {"Ask": asks}, *statements))
            # Neither error is a modelled exception of SageMaker.
            assert ended["error"] == "SageMaker.SageMakerException"
            assert cause in ended["cause"]

    def test_a_distributed_map_needs_to_start_executions_and_to_read_its_items(
        self, workshop: Workshop, cloud: Cloud
    ) -> None:
        bucket = f"items-{uuid.uuid4().hex[:8]}"
        cloud.client("s3").create_bucket(Bucket=bucket)
        cloud.client("s3").put_object(Bucket=bucket, Key="items.json", Body=b"[1, 2]")
        reader = {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSON"},
            "Parameters": {"Bucket": bucket, "Key": "items.json"},
        }
        states = {"Each": distributed(branch("It", It=END), ItemReader=reader)}
        reads = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
        assert json.loads(workshop.run(workshop.machine("Each", states, START, reads))["output"]) == [1, 2]
        assert workshop.run(workshop.machine("Each", states, START))["error"] == "States.ItemReaderFailed"
        assert workshop.run(workshop.machine("Each", states, reads))["error"] == "States.Permissions"
