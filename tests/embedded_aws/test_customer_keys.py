"""Customer keys: to use encrypted data, a caller also needs permissions on the key."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.cloud.instance import Cloud
from tests.cloud import Workshop, eventually

Statement = dict[str, Any]


def allow(actions: str | list[str], resource: str) -> Statement:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


@pytest.fixture
def key(cloud: Cloud) -> str:
    """The ARN of a key whose policy delegates its use to IAM."""
    return str(cloud.client("kms").create_key()["KeyMetadata"]["Arn"])


def caller(cloud: Cloud, service: str, *statements: Statement) -> Any:
    """Return a client of a new user with these permissions."""
    iam, name = cloud.client("iam"), f"user-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return cloud.client(service, aws_access_key_id=made["AccessKeyId"], aws_secret_access_key=made["SecretAccessKey"])


@pytest.fixture
def bucket(cloud: Cloud, key: str) -> str:
    """A bucket that the key encrypts by default."""
    name, s3 = f"encrypted-{uuid.uuid4().hex[:8]}", cloud.client("s3")
    s3.create_bucket(Bucket=name)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})
    return name


def test_reading_an_encrypted_object_needs_decrypt(cloud: Cloud, key: str, bucket: str) -> None:
    cloud.client("s3").put_object(Bucket=bucket, Key="k", Body=b"secret")
    read = allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*")
    with pytest.raises(ClientError, match="kms:Decrypt"):
        caller(cloud, "s3", read).get_object(Bucket=bucket, Key="k")
    reader = caller(cloud, "s3", read, allow("kms:Decrypt", key))
    assert reader.get_object(Bucket=bucket, Key="k")["Body"].read() == b"secret"


def test_writing_to_an_encrypted_bucket_needs_a_data_key(cloud: Cloud, key: str, bucket: str) -> None:
    write = allow("s3:PutObject", f"arn:aws:s3:::{bucket}/*")
    with pytest.raises(ClientError, match="kms:GenerateDataKey"):
        caller(cloud, "s3", write).put_object(Bucket=bucket, Key="k", Body=b"")
    caller(cloud, "s3", write, allow("kms:GenerateDataKey", key)).put_object(Bucket=bucket, Key="k", Body=b"")


def test_a_key_that_the_request_names_counts_rather_than_the_buckets(cloud: Cloud, key: str, bucket: str) -> None:
    other = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    writer = caller(cloud, "s3", allow("s3:PutObject", f"arn:aws:s3:::{bucket}/*"), allow("kms:GenerateDataKey", key))
    with pytest.raises(ClientError, match=other.rsplit("/")[-1]):
        writer.put_object(Bucket=bucket, Key="k", Body=b"", ServerSideEncryption="aws:kms", SSEKMSKeyId=other)


def test_a_key_whose_policy_does_not_admit_the_account_is_useless(cloud: Cloud) -> None:
    statement = {"Effect": "Allow", "Action": "kms:*", "Resource": "*", "Principal": {"AWS": "arn:aws:iam::1:root"}}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    key = cloud.client("kms").create_key(Policy=policy, BypassPolicyLockoutSafetyCheck=True)["KeyMetadata"]["Arn"]
    bucket = f"locked-{uuid.uuid4().hex[:8]}"
    cloud.client("s3").create_bucket(Bucket=bucket)
    writer = caller(cloud, "s3", allow("s3:PutObject", f"arn:aws:s3:::{bucket}/*"), allow("kms:*", "*"))
    with pytest.raises(ClientError, match="kms:GenerateDataKey"):
        writer.put_object(Bucket=bucket, Key="k", Body=b"", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)


def test_sending_to_an_encrypted_queue_and_topic_needs_both_permissions(cloud: Cloud, key: str) -> None:
    name = f"encrypted-{uuid.uuid4().hex[:8]}"
    url = cloud.client("sqs").create_queue(QueueName=name, Attributes={"KmsMasterKeyId": key})["QueueUrl"]
    topic = cloud.client("sns").create_topic(Name=name, Attributes={"KmsMasterKeyId": key})["TopicArn"]
    send, publish = allow("sqs:SendMessage", "*"), allow("sns:Publish", "*")
    half, whole = allow("kms:GenerateDataKey", key), allow(["kms:GenerateDataKey", "kms:Decrypt"], key)
    with pytest.raises(ClientError, match="kms:Decrypt"):
        caller(cloud, "sqs", send, half).send_message(QueueUrl=url, MessageBody="m")
    with pytest.raises(ClientError, match="kms:Decrypt"):
        caller(cloud, "sns", publish, half).publish(TopicArn=topic, Message="m")
    caller(cloud, "sqs", send, whole).send_message(QueueUrl=url, MessageBody="m")
    caller(cloud, "sns", publish, whole).publish(TopicArn=topic, Message="m")


def test_a_functions_dead_letter_needs_the_queues_key(cloud: Cloud, workshop: Workshop, key: str) -> None:
    name = f"letters-{uuid.uuid4().hex[:8]}"
    url = cloud.client("sqs").create_queue(QueueName=name, Attributes={"KmsMasterKeyId": key})["QueueUrl"]
    arn = f"arn:aws:sqs:{cloud.region}:{cloud.account}:{name}"
    fails = "def handler(event, context): raise ValueError(event)"
    for extra in ([], [allow(["kms:GenerateDataKey", "kms:Decrypt"], key)]):
        function = workshop.function(fails, allow("sqs:SendMessage", arn), *extra, DeadLetterConfig={"TargetArn": arn})
        cloud.client("lambda").put_function_event_invoke_config(FunctionName=function, MaximumRetryAttempts=0)
        cloud.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(function))

    def received() -> list[str]:
        return [each["Body"] for each in cloud.client("sqs").receive_message(QueueUrl=url).get("Messages", [])]

    assert eventually(received) == [json.dumps(function)]


def test_a_log_groups_key_must_admit_cloudwatch_logs(cloud: Cloud, key: str) -> None:
    logs, name = cloud.client("logs"), f"/test/{uuid.uuid4().hex[:8]}"
    with pytest.raises(ClientError, match="not allowed to be used with Arn"):
        logs.create_log_group(logGroupName=name, kmsKeyId=key)
    statements = [
        allow("kms:*", "*") | {"Principal": {"AWS": f"arn:aws:iam::{cloud.account}:root"}},
        {
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
            "Resource": "*",
            "Principal": {"Service": f"logs.{cloud.region}.amazonaws.com"},
            "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": "arn:aws:logs:*:*:log-group:/test/*"}},
        },
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    cloud.client("kms").put_key_policy(KeyId=key, PolicyName="default", Policy=policy)
    logs.create_log_group(logGroupName=name, kmsKeyId=key)


def test_a_state_machines_role_needs_decrypt_to_read_a_maps_items(
    cloud: Cloud, workshop: Workshop, key: str, bucket: str
) -> None:
    cloud.client("s3").put_object(Bucket=bucket, Key="items.json", Body=b"[1, 2]")
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON"},
        "Parameters": {"Bucket": bucket, "Key": "items.json"},
    }
    child = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "P"}
    child["States"] = {"P": {"Type": "Pass", "End": True}}
    states = {"M": {"Type": "Map", "ItemReader": reader, "ItemProcessor": child, "End": True}}
    rights = [allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*"), allow("states:StartExecution", "*")]
    denied = workshop.run(workshop.machine("M", states, *rights))
    assert (denied["status"], denied["error"]) == ("FAILED", "States.ItemReaderFailed")
    assert "kms:Decrypt" in denied["cause"]
    assert workshop.run(workshop.machine("M", states, *rights, allow("kms:Decrypt", key)))["status"] == "SUCCEEDED"
