"""Deploys a cloud assembly into an embedded AWS, as the CDK CLI would deploy it into an AWS account.

The CLI assumes roles that the bootstrap stack creates; here the administrator publishes the assets and
creates the stack.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.cloud.assembly import AssembledStack, AssemblyError, FileAsset, read_stack
from embedded_aws.cloud.instance import Cloud

_STACK_SECONDS = 120.0
_BOOTSTRAP_VERSION = "30"
DEFAULT_BOOTSTRAP = "/cdk-bootstrap/hnb659fds/version"
"""The parameter that ``cdk bootstrap`` without a qualifier creates."""


class DeployError(Exception):
    """CloudFormation refused the stack or failed; the message names the resource and the reason."""


@dataclass(frozen=True)
class Outputs:
    """A deployed stack's outputs.

    Attributes
    ----------
    stack_name
        The stack's name.
    values
        Output name -> value.
    """

    stack_name: str
    values: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.values[name]


def deploy(cloud: Cloud, assembly: Path, stack_name: str | None = None) -> Outputs:
    """Publish a cloud assembly's assets and create or update its stack.

    Parameters
    ----------
    cloud
        The embedded AWS to deploy into.
    assembly
        The directory that ``cdk synth`` wrote.
    stack_name
        The stack's name; may be omitted if the assembly has only one.

    Raises
    ------
    DeployError
        If the stack does not become complete; the message names the first resource that failed, and why.
    """
    try:
        stack = read_stack(assembly, stack_name, account=cloud.account, region=cloud.region)
    except AssemblyError as error:
        raise DeployError(str(error)) from error
    bootstrap(cloud, stack.bootstrap_parameter, [asset.bucket for asset in stack.assets])
    _publish(cloud, stack)
    cloudformation = cloud.client("cloudformation")
    request = {
        "StackName": stack.name,
        "TemplateURL": f"{cloud.endpoint_url}/{stack.template_bucket}/{stack.template_key}",
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        "Tags": [{"Key": name, "Value": value} for name, value in stack.tags.items()],
    }
    try:
        if _status(cloudformation, stack.name) is None:
            cloudformation.create_stack(**request, EnableTerminationProtection=stack.termination_protection)
        else:
            cloudformation.update_stack(**request)
    except ClientError as error:
        if "No updates are to be performed" not in str(error):
            raise DeployError(f"{stack.name}: {error.response['Error']['Message']}") from error
    status = _await_end(cloudformation, stack.name)
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise DeployError(f"{stack.name} is {status}: {_first_failure(cloudformation, stack.name)}")
    described = cloudformation.describe_stacks(StackName=stack.name)["Stacks"][0]
    values = {item["OutputKey"]: item["OutputValue"] for item in described.get("Outputs", [])}
    return Outputs(stack.name, values)


def destroy(cloud: Cloud, stack_name: str) -> None:
    """Delete a stack, except for the resources that its template retains.

    Raises
    ------
    DeployError
        If something cannot be deleted.
    """
    cloudformation = cloud.client("cloudformation")
    if _status(cloudformation, stack_name) is None:
        return
    try:
        cloudformation.delete_stack(StackName=stack_name)
    except ClientError as error:
        raise DeployError(f"{stack_name}: {error.response['Error']['Message']}") from error
    status = _await_end(cloudformation, stack_name)
    if status not in (None, "DELETE_COMPLETE"):
        raise DeployError(f"{stack_name} is {status}: {_first_failure(cloudformation, stack_name)}")


def bootstrap(cloud: Cloud, parameter: str | None = DEFAULT_BOOTSTRAP, buckets: Iterable[str] = ()) -> None:
    """Create what an assembly expects from ``cdk bootstrap``.

    Parameters
    ----------
    parameter
        The SSM parameter that holds the version of the bootstrap stack.
    buckets
        The buckets of the assets.
    """
    s3 = cloud.client("s3")
    for bucket in sorted(set(buckets)):
        try:
            s3.head_bucket(Bucket=bucket)
        except ClientError:
            s3.create_bucket(Bucket=bucket)
    if parameter:
        cloud.client("ssm").put_parameter(Name=parameter, Value=_BOOTSTRAP_VERSION, Type="String", Overwrite=True)


def _publish(cloud: Cloud, stack: AssembledStack) -> None:
    s3 = cloud.client("s3")

    def publish(asset: FileAsset) -> None:
        s3.put_object(Bucket=asset.bucket, Key=asset.key, Body=asset.content())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(publish, stack.assets))


def _status(cloudformation: Any, name: str) -> str | None:
    try:
        stacks = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    status = str(stacks[0]["StackStatus"])
    return None if status == "DELETE_COMPLETE" else status


def _await_end(cloudformation: Any, name: str) -> str | None:
    deadline = time.monotonic() + _STACK_SECONDS
    while time.monotonic() < deadline:
        status = _status(cloudformation, name)
        if status is None or not status.endswith("IN_PROGRESS"):
            return status
        time.sleep(0.05)
    raise DeployError(f"{name} is still {_status(cloudformation, name)} after {_STACK_SECONDS:.0f} s")


def _first_failure(cloudformation: Any, name: str) -> str:
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    failed = [event for event in events if event["ResourceStatus"].endswith("FAILED")]
    if not failed:
        return "CloudFormation gave no reason"
    first = failed[-1]  # events are listed newest first
    return f"{first['LogicalResourceId']} ({first['ResourceType']}): {first.get('ResourceStatusReason', '?')}"
