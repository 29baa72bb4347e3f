"""What a run needs to know at run time: written once by the stack, read by every handler.

One environment variable holds it as JSON. The stack builds it from its own settings and resources; a handler reads
it with :meth:`RunSettings.from_environment`. Both sides use this one type, so they can't drift apart.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

VARIABLE = "RUN_SETTINGS"


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The settings of every run of one deployment.

    Attributes
    ----------
    deployment_id
        The prefix of the name of every SageMaker resource.
    images
        The training and inference image of each stage, by ECR URI.
    training_instance_types, hosting_instance_types
        In order of preference: the next is tried on a quota or capacity error.
    num_components
        PCA's components; ``None`` means one fewer than there are features.
    variance_to_keep
        The share of variance the kept components must explain, 0 to 1.
    clusters
        k, or ``"auto"`` for the elbow.
    kms_key_arn
        The customer key that encrypts volumes and outputs; ``None`` where S3's own encryption serves.
    """

    deployment_id: str
    incoming_bucket: str
    results_bucket: str
    execution_role_arn: str
    images: Mapping[str, str]
    training_instance_types: list[str]
    training_instance_count: int
    training_volume_gb: int
    training_timeout_seconds: int
    hosting_instance_types: list[str]
    hosting_instance_count: int
    # CloudFormation's JSON drops what is null: what may be None is None where it is missing.
    num_components: int | None = None
    variance_to_keep: float
    clusters: int | Literal["auto"]
    pca_mini_batch_size: int
    teardown_timeout_seconds: int
    kms_key_arn: str | None = None
    topic_arn: str
    state_machine_arn: str
    code_version: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "RunSettings":
        """Read the settings the stack gave this function.

        Raises
        ------
        LookupError
            When the variable is missing: the function wasn't deployed by the stack.
        TypeError
            When its keys aren't the fields of this class.
        """
        if VARIABLE not in environment:
            raise LookupError(f"{VARIABLE} is not set; the stack sets it on every function")
        return cls(**json.loads(environment[VARIABLE]))

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as the stack serializes them."""
        return asdict(self)

    @classmethod
    def field_names(cls) -> list[str]:
        """Return the names of all settings, in order."""
        return [field.name for field in fields(cls)]
