"""Facts about SageMaker's instance types, known before deployment: their regions, and which have local storage."""

import json
from pathlib import Path
from typing import Literal

Use = Literal["hosting", "training"]

_FAMILIES_BY_REGION = Path(__file__).with_name("instance_types.json")

LOCAL_STORAGE_FAMILIES = frozenset({
    "c5d", "c6gd", "dl1", "g4dn", "g5", "g6", "g6e", "g7", "g7e", "m5d", "m6gd", "m7gd", "p3dn", "p4d", "p4de", "p5",
    "p5e", "p5en", "p6-b200", "p6-b300", "p6e-gb200", "r5d", "r6gd", "r7gd", "trn1", "trn1n", "trn2",
})  # fmt: skip
"""The families whose instances store data on local NVMe disks, for which SageMaker accepts no KMS key.

Of the families that SageMaker's API lists, those that Amazon EC2 describes as having instance store volumes:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-store-volumes.html. That SageMaker refuses a key for them:
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ResourceConfig.html, ``VolumeKmsKeyId``.
"""


def family_of(instance_type: str) -> str:
    """Return the family of an instance type: ``m5`` of ``ml.m5.large``."""
    return instance_type.split(".")[1]


def has_local_storage(instance_type: str) -> bool:
    """Return whether SageMaker refuses a KMS key for the volumes of this instance type."""
    return family_of(instance_type) in LOCAL_STORAGE_FAMILIES


def not_offered(instance_types: list[str], region: str, use: Use) -> list[str]:
    """Return the instance types whose family is offered in other regions but not in this one.

    Types of a region or a family that the list does not contain are not returned, because nothing is known about them.
    """
    listed = {name: entry[use].split() for name, entry in json.loads(_FAMILIES_BY_REGION.read_text()).items()}
    known = {family for families in listed.values() for family in families}
    if region not in listed:
        return []
    return [name for name in instance_types if family_of(name) in known - set(listed[region])]


def lack_of_types(instance_types: list[str], region: str, use: Use) -> str:
    """Return a sentence on the instance types that a region does not offer; empty if it offers all that are known."""
    if not (missing := not_offered(instance_types, region, use)):
        return ""
    left = [name for name in instance_types if name not in missing]
    then = f"runs use {left[0]}" if left else "every run will fail"
    return f"{region} does not offer {', '.join(missing)} for {use}, so {then}"
