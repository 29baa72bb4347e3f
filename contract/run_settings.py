"""What a run needs to know at run time.

The stack writes it into one environment variable of every function, as JSON, and handlers read it with
:meth:`RunSettings.from_environment`. Because both sides use this type, they cannot disagree.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from contract.names import AUTO_CLUSTERS

VARIABLE = "RUN_SETTINGS"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The values that a setting may have; pydantic enforces them on synth, and functions do without pydantic."""

    gt: float | None = None
    ge: float | None = None
    le: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        """Add the limits to the schema of the annotated type.

        https://docs.pydantic.dev/latest/concepts/types/#customizing-validation-with-__get_pydantic_core_schema__
        """
        limits = {name: limit for name, limit in asdict(self).items() if limit is not None}
        return {**handler(source), **limits}


Clusters = Annotated[int, Limits(ge=2, le=100)] | Literal["auto"]
"""A number of clusters, or that the run chooses it."""


Mode = Literal["train", "apply"]
"""Whether a run trains models or applies those of an earlier run."""


def setting(default: Any, description: str) -> Any:
    """Return a dataclass field with a default and the description for docs/settings.md."""
    metadata = {"description": description}
    if isinstance(default, list | dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class RunParameters:
    """The settings that handlers need. A field added here is a setting of the stack and reaches every handler."""

    training_instance_types: Annotated[list[str], Limits(min_length=1)] = setting(
        ["ml.c4.xlarge", "ml.m5.large"],
        "Instance types for training, in order of preference: the next one is used if the region does not offer one, or"
        " after a quota or capacity error. `ml.t2.*` and `ml.t3.*` cannot train.",
    )
    training_instance_count: Annotated[int, Limits(ge=1, le=20)] = setting(
        1,
        "Number of instances per training job; the shards are distributed over them. At most as many instances as"
        " there are shards are used, because an instance without a shard would be paid for and have nothing to do.",
    )
    training_volume_gb: Annotated[int, Limits(ge=1, le=16_384)] = setting(
        10, "Size of the volume of each training instance, in GB."
    )
    training_timeout_seconds: Annotated[int, Limits(ge=60, le=432_000)] = setting(
        1_800,
        "Time limit of one training job, including the wait for its instance: nine times the recorded 191 s.",
    )
    inference: Literal["endpoint", "function"] = setting(
        "endpoint",
        "`endpoint`: SageMaker hosts each model while a run sends its rows to it. `function`: the functions apply the"
        " models themselves; the stack then has no states, permissions or functions for hosting, and a run takes a"
        " third of the time. Do not change it while a run is in progress.",
    )
    hosting_instance_types: Annotated[list[str], Limits(min_length=1)] = setting(
        ["ml.t2.medium", "ml.m5.large"],
        "Instance types for hosting, in order of preference: the next one is used if the region does not offer one, or"
        " after a quota or capacity error. New accounts have a quota above 0 for `ml.t2.medium`; about half of the"
        " regions do not offer it.",
    )
    hosting_instance_count: Annotated[int, Limits(ge=1, le=20)] = setting(1, "Number of instances per endpoint.")
    network_isolation: bool = setting(
        True,
        "Whether the containers of training jobs and endpoints have no network; SageMaker itself copies their inputs"
        " and outputs. PCA and k-means support it.",
    )
    vpc_subnet_ids: list[Annotated[str, Limits(pattern=r"^subnet-[0-9a-f]+$")]] = setting(
        [],
        "Subnets that functions, training jobs and endpoints are attached to; none means no VPC."
        " docs/operations.md lists the VPC endpoints that they need.",
    )
    vpc_security_group_ids: list[Annotated[str, Limits(pattern=r"^sg-[0-9a-f]+$")]] = setting(
        [], "Security groups in these subnets' VPC; required with `vpc_subnet_ids`."
    )
    num_components: Annotated[int, Limits(ge=1)] | None = setting(
        None, "Number of PCA components; null means one fewer than there are features."
    )
    variance_to_keep: Annotated[float, Limits(gt=0, le=1)] = setting(
        0.80, "The fewest components are kept that explain at least this share of the variance."
    )
    mode: Mode = setting(
        "train",
        "`train`: each run trains its own models. `apply`: a run labels its rows by the model of the previous run of"
        " its series, without training. The metadata `mode` of an upload takes precedence.",
    )
    align_to: Annotated[str, Limits(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")] = setting(
        "previous",
        "The run that a run is compared with, that numbers its segments, and whose model `mode: apply` applies:"
        " `previous` is the last successful run of the series, `none` is no run, and anything else is the id of a"
        " successful run of the series.",
    )
    clusters: Clusters = setting(
        8,
        f"Number of segments; `auto` chooses between {AUTO_CLUSTERS[0]} and {AUTO_CLUSTERS[-1]}: of the numbers whose"
        " bootstrap adjusted Rand index is within 0.05 of the highest one, the one at the sharpest bend of the elbow.",
    )
    refine: bool = setting(
        True,
        "Refine SageMaker's centroids over all rows before they are hosted, so that every run of a file labels the"
        " counties in the same way; false hosts SageMaker's centroids untouched.",
    )
    refine_restarts: Annotated[int, Limits(ge=1, le=1_000)] = setting(
        50,
        "With `refine`: number of k-means++ starts on a sample of the rows that compete with SageMaker's centroids."
        " Ten are too few to find the same optimum every time.",
    )
    stability_refits: Annotated[int, Limits(ge=2, le=1_000)] = setting(
        100,
        "Number of bootstrap refits that measure how stable each label is. Two fifths as many measure each number of"
        " clusters beside the elbow. Fewer take less time and give coarser shares.",
    )
    correct_shares: bool = setting(
        False,
        "Whether a CSV whose percentages all lost their decimal point, so that 12.3 became 123, is corrected and"
        " reported; otherwise it is refused.",
    )
    pca_mini_batch_size: Annotated[int, Limits(ge=1, le=100_000)] = setting(
        500, "PCA's `mini_batch_size`, the number of rows per step; at most the rows of one instance are used."
    )
    log_retention_days: int = setting(
        30,
        "Number of days for which logs and access logs are kept, including the logs of endpoints: SageMaker creates one"
        " log group per endpoint, which the janitor deletes after this time.",
    )
    max_concurrent_runs: Annotated[int, Limits(ge=1, le=1_000)] = setting(
        2,
        "Number of runs that may be in progress at a time. Further CSVs wait in a queue, in order of arrival. A new"
        " account's quota is one or two endpoints.",
    )
    teardown_timeout_seconds: Annotated[int, Limits(ge=60, le=86_400)] = setting(
        4_500,
        "Time limit of a teardown; when it passes, the run fails and an alarm is raised. An endpoint cannot be deleted"
        " while it is being created, and creation can hang for an hour: an hour and a quarter.",
    )

    @property
    def hosts_models(self) -> bool:
        """Whether SageMaker endpoints serve the models."""
        return self.inference == "endpoint"


@dataclass(frozen=True, kw_only=True)
class RunSettings(RunParameters):
    """The settings of every run of one deployment, and the resources that runs use.

    Attributes
    ----------
    deployment_id
        The prefix of the name of every SageMaker resource.
    images
        The training and inference image of each stage, by ECR URI.
    kms_key_arn
        The customer managed key that encrypts volumes and outputs; ``None`` if keys owned by AWS do.
    queue_url, dead_letters_url
        The queue of CSVs that wait for their run, and the queue of events that started no run.
    code_version
        Changes whenever the functions' code changes.
    """

    deployment_id: str
    incoming_bucket: str
    results_bucket: str
    execution_role_arn: str
    images: Mapping[str, str]
    topic_arn: str
    queue_url: str
    dead_letters_url: str
    state_machine_arn: str
    code_version: str
    # CloudFormation removes null values from JSON: what may be None must have None as its default.
    kms_key_arn: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "RunSettings":
        """Read the settings that the stack gave this function.

        Raises
        ------
        LookupError
            If the variable is missing because the stack did not deploy the function.
        TypeError
            If its keys are not the fields of this class.
        """
        if VARIABLE not in environment:
            raise LookupError(f"{VARIABLE} is not set; the stack sets it on every function")
        return cls(**json.loads(environment[VARIABLE]))

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as the stack serializes them."""
        return asdict(self)
