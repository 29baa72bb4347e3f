"""Lists the account's quotas for SageMaker's instances, as Service Quotas names them."""

from __future__ import annotations

from typing import Any

from embedded_aws.faults.spec import Faults
from embedded_aws.sagemaker.platform import Platform

UNLIMITED = 1_000.0
"""The value of a quota that no fault lowers."""

# The resource whose quota faults apply, the operation that names its instance types, and the shape of the type.
_KINDS = {
    "TrainingJob": ("training job usage", "CreateTrainingJob", ("ResourceConfig", "InstanceType")),
    "Endpoint": ("endpoint usage", "CreateEndpointConfig", ("ProductionVariants", "InstanceType")),
}


def quotas(platform: Platform, faults: Faults) -> list[dict[str, Any]]:
    """Return a quota for each instance type that the region offers, in the form of ListServiceQuotas.

    The names are those that AWS uses: ``ml.m5.large for endpoint usage``. A type for which a fault says that the region
    does not support it has no quota, as on AWS.
    """
    found = []
    for kind, (usage, operation, (member, type_member)) in _KINDS.items():
        limits = {name: limit for _, name, limit in faults.quotas(kind, "")}
        unsupported = faults.unsupported_types(f"Create{kind}")
        shape = platform.operation_model(operation).input_shape.members[member]
        for name in getattr(shape, "member", shape).members[type_member].enum:
            if name not in unsupported:
                value = float(limits.get(name, limits.get("", UNLIMITED)))
                found.append({"QuotaName": f"{name} for {usage}", "Value": value, "ServiceCode": "sagemaker"})
    return found
