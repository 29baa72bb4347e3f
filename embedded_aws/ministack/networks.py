"""VPCs of functions: the checks that Lambda makes before it attaches a function to subnets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack import app
from ministack.services import ec2, lambda_svc

from embedded_aws.ministack import authorization, templates

_FUNCTION_ACTIONS = ("ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface")


def apply() -> None:
    """Correct Lambda in this process."""
    attach_templates_functions_to_their_vpc()


def missing(subnet_ids: list[str], security_group_ids: list[str]) -> str:
    """Return which subnet or security group does not exist; an empty string if all exist."""
    ec2._ensure_defaults_initialized()
    for kind, ids, known in (
        ("subnet", subnet_ids, ec2._subnets),
        ("security group", security_group_ids, ec2._security_groups),
    ):
        for each in ids:
            if each not in known:
                return f"The {kind} ID '{each}' does not exist"
    return ""


def attach_templates_functions_to_their_vpc() -> None:
    """Set the VpcConfig of a template's function, which ministack's CloudFormation ignores, if its role allows it.

    Lambda refuses to create a function whose role may not create network interfaces:
    https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions
    """
    templates.extend("AWS::Lambda::Function", _keep, check=_check)


def _check(properties: Mapping[str, Any]) -> None:
    config = properties.get("VpcConfig")
    if not config:
        return
    if problem := missing(config["SubnetIds"], config["SecurityGroupIds"]):
        raise ValueError(problem)
    for action in _FUNCTION_ACTIONS if app.AUTH else ():
        try:
            authorization.check_role(properties["Role"], action, "*")
        except authorization.Denied as denied:
            operation = action.partition(":")[2]
            refusal = f"The provided execution role does not have permissions to call {operation} on EC2"
            raise ValueError(refusal) from denied


def _keep(name: str, properties: Mapping[str, Any]) -> None:
    if "VpcConfig" in properties:
        config = lambda_svc._functions[name]["config"]
        config["VpcConfig"] = lambda_svc._vpc_config_with_id(properties["VpcConfig"])
