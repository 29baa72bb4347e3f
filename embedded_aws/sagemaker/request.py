"""A parsed request to SageMaker's control plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from embedded_aws.sagemaker.errors import validation
from embedded_aws.sagemaker.platform import Platform
from embedded_aws.sagemaker.state import Scope

_SERVICE_PRINCIPAL = "sagemaker.amazonaws.com"
_MAX_TAGS = 50
LOCAL_STORAGE_FAMILIES = frozenset({
    "c5d", "c6gd", "dl1", "g4dn", "g5", "g6", "g6e", "g7", "g7e", "m5d", "m6gd", "m7gd", "p3dn", "p4d", "p4de", "p5",
    "p5e", "p5en", "p6-b200", "p6-b300", "p6e-gb200", "r5d", "r6gd", "r7gd", "trn1", "trn1n", "trn2",
})  # fmt: skip
"""The families of instance types with local NVMe disks, for whose volumes SageMaker accepts no KMS key.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ResourceConfig.html and
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-store-volumes.html
"""
_NETWORK_INTERFACE_OPERATIONS = (
    "CreateNetworkInterface",
    "CreateNetworkInterfacePermission",
    "DeleteNetworkInterface",
    "DeleteNetworkInterfacePermission",
    "DescribeNetworkInterfaces",
    "DescribeVpcs",
    "DescribeDhcpOptions",
    "DescribeSubnets",
    "DescribeSecurityGroups",
)


@dataclass(frozen=True)
class Request:
    """A validated request. ``caller`` is the id of the access key that signed it."""

    operation: str
    params: dict[str, Any]
    scope: Scope
    caller: str
    platform: Platform

    def require(self, action: str, resource_arn: str, context: dict[str, Any] | None = None) -> None:
        """Check a further permission of the caller.

        Raises
        ------
        AwsError
            AccessDeniedException if IAM does not allow it.
        """
        self.platform.require(self.caller, action, resource_arn, context)

    def require_pass_role(self, role_arn: str) -> None:
        """Check that the caller may pass the role to SageMaker, and that SageMaker may assume it.

        Raises
        ------
        AwsError
            AccessDeniedException without ``iam:PassRole``; ValidationException if the role does not exist or does not
            trust SageMaker.
        """
        self.require("iam:PassRole", role_arn, {"iam:PassedToService": _SERVICE_PRINCIPAL})
        if not self.platform.trusts_sagemaker(role_arn):
            raise validation(
                f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal "
                f"'{_SERVICE_PRINCIPAL}' to assume the role."
            )

    def require_volume_key(self, key: str | None, role_arn: str = "") -> None:
        """Check that the caller may let SageMaker use a KMS key for the volumes of a job or an endpoint.

        Parameters
        ----------
        key
            The key's id, ARN or alias, if the request names one.
        role_arn
            The execution role of a training job, which may have the permission instead of the caller.

        Raises
        ------
        AwsError
            AccessDeniedException without ``kms:CreateGrant`` and ``kms:DescribeKey`` on the key.
        """
        # SageMaker Developer Guide, "SageMaker API permissions". It is unknown whether SageMaker's request has the
        # condition key kms:GrantIsForAWSResource, so it does not have it here.
        arn = self.platform.key_arn(key or "")
        for action in ("kms:DescribeKey", "kms:CreateGrant") if arn else ():
            if not role_arn or self.platform.role_denial(role_arn, action, arn):
                self.require(action, arn)

    def require_vpc(self, config: Mapping[str, list[str]] | None, role_arn: str) -> None:
        """Check that the execution role can attach a job or a model to the subnets of a ``VpcConfig``, if there is one.

        Raises
        ------
        AwsError
            ValidationException if a subnet or a security group does not exist, or the role lacks a permission that
            the SageMaker Developer Guide, "SageMaker execution roles", lists for a VPC.
        """
        if not config:
            return
        if problem := self.platform.missing_in_vpc(config["Subnets"], config["SecurityGroupIds"]):
            raise validation(problem)
        for operation in _NETWORK_INTERFACE_OPERATIONS:
            if denial := self.platform.role_denial(role_arn, f"ec2:{operation}", "*"):
                raise validation(f"The execution role cannot attach network interfaces to the VPC. {denial}")

    def new_tags(self, arn: str) -> dict[str, str]:
        """Return the tags of a resource that is about to be created, if the caller may add them.

        Raises
        ------
        AwsError
            AccessDeniedException without ``sagemaker:AddTags``; ValidationException for invalid tags.
        """
        tags = read_tags(self.params.get("Tags", []))
        if tags:
            self.require("sagemaker:AddTags", arn)
        return tags


def refuse_key_for_local_storage(key: str | None, member: str, instance_types: list[str]) -> None:
    """Check that no instance type stores its data on local disks if a request names a key for volumes.

    Raises
    ------
    AwsError
        ValidationException if one does.
    """
    for instance_type in instance_types if key else ():
        if instance_type.split(".")[1:2] and instance_type.split(".")[1] in LOCAL_STORAGE_FAMILIES:
            raise validation(f"{member} is not supported for instance type {instance_type}, which has local storage.")


def read_tags(entries: list[dict[str, str]], present: dict[str, str] | None = None) -> dict[str, str]:
    """Merge tag entries into the tags that a resource has.

    Raises
    ------
    AwsError
        ValidationException for a repeated key, a reserved key, or more than 50 tags.
    """
    keys = [entry["Key"] for entry in entries]
    if len(set(keys)) != len(keys):
        raise validation("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    for key in keys:
        if key.lower().startswith("aws:"):
            raise validation(f"Tag key {key} is reserved: keys must not start with aws:")
    tags = (present or {}) | {entry["Key"]: entry["Value"] for entry in entries}
    if len(tags) > _MAX_TAGS:
        raise validation(f"A resource can have at most {_MAX_TAGS} tags; this one would have {len(tags)}")
    return tags
