"""Every knob of the stack: its default, what is allowed, and what it does; read from cdk.json's ``segmentation``."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from contract.names import AUTO_CLUSTERS, TAG_PREFIX

CONTEXT_KEY = "segmentation"
HISTORY_EVENT_LIMIT = 25_000
"""Step Functions ends an execution whose history grows beyond this."""

# What one turn of each waiting loop writes into the history: five events for its task, two for each other state.
_EVENTS_PER_POLL = 11
_EVENTS_PER_TEARDOWN_POLL = 9
_EVENTS_BESIDE_WAITING = 500

_INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]+\.(\d*x?large|medium|metal)")
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

LOG_RETENTION_DAYS = {
    1: "ONE_DAY", 3: "THREE_DAYS", 5: "FIVE_DAYS", 7: "ONE_WEEK", 14: "TWO_WEEKS", 30: "ONE_MONTH", 60: "TWO_MONTHS",
    90: "THREE_MONTHS", 120: "FOUR_MONTHS", 150: "FIVE_MONTHS", 180: "SIX_MONTHS", 365: "ONE_YEAR",
    400: "THIRTEEN_MONTHS", 545: "EIGHTEEN_MONTHS", 731: "TWO_YEARS", 1096: "THREE_YEARS", 1827: "FIVE_YEARS",
    2192: "SIX_YEARS", 2557: "SEVEN_YEARS", 2922: "EIGHT_YEARS", 3288: "NINE_YEARS", 3653: "TEN_YEARS",
}  # fmt: skip
"""What CloudWatch Logs allows, under CDK's names."""


class SettingsError(ValueError):
    """A setting that can't be: names the key, the value, and what is allowed."""


class Settings(BaseModel):
    """The knobs of one copy of the stack.

    Times are in seconds unless a name says otherwise. Defaults of the time limits come from a recorded run on
    SageMaker: 191 s for a training, 375 s and 440 s for an endpoint to come into service.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    stage: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,8}$")] = Field(
        "dev",
        description="Names this copy of the stack: several stages live side by side in one account and region."
        " `dev` is called `census-segmentation`, any other `census-seg-<stage>`.",
    )
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=20)] | None = Field(
        None,
        description="The stack's name, where the one made from `stage` doesn't suit. It starts every SageMaker"
        " resource's name, which is why it is short.",
    )
    account: Annotated[str, Field(pattern=r"^\d{12}$")] | None = Field(
        None, description="The account to deploy to; null takes the one of the credentials that deploy."
    )
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] | None = Field(
        None, description="The region to deploy to; null takes the one of the credentials that deploy."
    )
    tags: dict[str, str] = Field(
        default_factory=dict, description="Tags put on every resource of the stack, such as a cost centre."
    )

    training_instance_types: list[str] = Field(
        ["ml.c4.xlarge"],
        min_length=1,
        description="Instance types to train on, in order of preference: the next is tried on a quota or capacity"
        " error. `ml.t2.*` and `ml.t3.*` can't train.",
    )
    training_instance_count: int = Field(
        1, ge=1, le=20, description="Instances a training job; the shards are spread over them."
    )
    training_volume_gb: int = Field(
        10, ge=1, le=16_384, description="The size of each training instance's volume, in GB."
    )
    hosting_instance_types: list[str] = Field(
        ["ml.t2.medium"],
        min_length=1,
        description="Instance types to host on, in order of preference: the next is tried on a quota or capacity"
        " error. New accounts have a quota above 0 for `ml.t2.medium`.",
    )
    hosting_instance_count: int = Field(1, ge=1, le=20, description="Instances an endpoint.")

    num_components: Annotated[int, Field(ge=1)] | None = Field(
        None, description="PCA's components; null means one fewer than there are features."
    )
    variance_to_keep: float = Field(
        0.80, gt=0, le=1, description="The smallest number of components is kept that explains this share of variance."
    )
    clusters: Annotated[int, Field(ge=2, le=100)] | Literal["auto"] = Field(
        8,
        description="The number of segments; `auto` chooses the elbow of the curve of mean distances between"
        f" {AUTO_CLUSTERS[0]} and {AUTO_CLUSTERS[-1]}.",
    )
    pca_mini_batch_size: int = Field(
        500, ge=1, le=100_000, description="PCA's `mini_batch_size`: rows a step; at most the rows of one instance."
    )

    poll_seconds: int = Field(
        5,
        ge=1,
        le=300,
        description="How often a job, an endpoint or a teardown is asked for its state. A run waits five times, each"
        " up to this long too late: at 5 s that is at most 25 s, 2 % of the 1,197 s that SageMaker itself takes.",
    )
    inference_concurrency: int = Field(
        8, ge=1, le=1_000, description="Shards sent to an endpoint at a time. One `ml.t2.medium` has two cores."
    )

    prepare_timeout_seconds: int = Field(
        900, ge=30, le=900, description="Time limit of reading, scaling and sharding the CSV. Lambda allows 900."
    )
    training_timeout_seconds: int = Field(
        1_800,
        ge=60,
        le=432_000,
        description="Time limit of one training job, waiting for its instance included: nine times the recorded 191 s.",
    )
    endpoint_timeout_seconds: int = Field(
        1_800,
        ge=60,
        le=86_400,
        description="Time limit of an endpoint to come into service: four times the recorded 440 s.",
    )
    inference_timeout_seconds: int = Field(
        180,
        ge=10,
        le=900,
        description="Time limit of one shard's inference. A container must answer a request in 60 s, and a request"
        " is retried within the limit.",
    )
    publish_timeout_seconds: int = Field(
        900, ge=30, le=900, description="Time limit of choosing k, and of writing the result. Lambda allows 900."
    )
    teardown_timeout_seconds: int = Field(
        900,
        ge=60,
        le=86_400,
        description="Time limit of a teardown, which then fails the run and raises an alarm. An endpoint that is being"
        " created can't be deleted before it is up: twice the recorded 440 s.",
    )
    run_timeout_seconds: int = Field(
        14_400,
        ge=300,
        le=31_536_000,
        description="Time limit of the whole run, after which it is stopped and swept: twelve times the recorded run.",
    )

    encryption: Literal["s3", "kms"] = Field(
        "s3",
        description="`s3`: Amazon's own keys encrypt the buckets and the logs. `kms`: a rotating customer key encrypts"
        " buckets, queue, logs, SageMaker's volumes and outputs. The topic has a customer key either way.",
    )
    artifact_expiry_days: int = Field(
        90,
        ge=1,
        le=3_650,
        description="After how many days a run's intermediate files and models expire. Inputs and results don't.",
    )
    log_retention_days: int = Field(30, description="How long logs and access logs are kept.")
    retain_data: bool = Field(
        True,
        description="Keep buckets and keys when the stack is destroyed. False lets CloudFormation delete them; it"
        " refuses buckets that aren't empty.",
    )
    termination_protection: bool | None = Field(
        None, description="Refuse to delete the stack; null means true for stage `prod` and false for any other."
    )

    alarm_email: str | None = Field(
        None, description="Who hears of alarms, refused CSVs and finished runs by mail; must confirm a first mail."
    )
    alarm_run_seconds: int = Field(
        2_400, ge=60, le=31_536_000, description="A run that takes longer raises an alarm: twice the recorded run."
    )
    monthly_budget_usd: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Tell the topic at 80 % of this monthly cost of what carries the stack's cost allocation tag"
        " `segmentation:stack`, forecast or actual; null makes no budget. A few regions can't make one.",
    )

    @field_validator("training_instance_types", "hosting_instance_types")
    @classmethod
    def _instance_types(cls, types: list[str]) -> list[str]:
        for name in types:
            if not _INSTANCE_TYPE.fullmatch(name):
                raise ValueError(f"{name!r} is no SageMaker instance type; expected such as 'ml.c4.xlarge'")
        if len(set(types)) < len(types):
            raise ValueError("each instance type may appear once")
        return types

    @field_validator("training_instance_types")
    @classmethod
    def _can_train(cls, types: list[str]) -> list[str]:
        for name in types:
            if name.startswith(("ml.t2.", "ml.t3.")):
                raise ValueError(f"{name!r} can host but not train; expected such as 'ml.c4.xlarge' or 'ml.m5.large'")
        return types

    @field_validator("log_retention_days")
    @classmethod
    def _retention(cls, days: int) -> int:
        if days not in LOG_RETENTION_DAYS:
            raise ValueError(f"CloudWatch Logs allows {', '.join(map(str, LOG_RETENTION_DAYS))}")
        return days

    @field_validator("alarm_email")
    @classmethod
    def _mail(cls, address: str | None) -> str | None:
        if address is not None and not _MAIL.fullmatch(address):
            raise ValueError("expected a mail address or null")
        return address

    @field_validator("tags")
    @classmethod
    def _tags(cls, tags: dict[str, str]) -> dict[str, str]:
        for key in tags:
            if key.startswith(("aws:", TAG_PREFIX)) or not 1 <= len(key) <= 128:
                raise ValueError(f"{key!r} can't be a tag; expected 1 to 128 characters, not aws:… or {TAG_PREFIX}…")
        return tags

    @model_validator(mode="after")
    def _times_fit_together(self) -> Self:
        stages = 2 * (self.training_timeout_seconds + self.endpoint_timeout_seconds) + self.teardown_timeout_seconds
        if self.run_timeout_seconds < stages:
            raise ValueError(
                f"run_timeout_seconds is {self.run_timeout_seconds}; expected at least {stages}, the sum of both"
                " stages' training_timeout_seconds and endpoint_timeout_seconds and one teardown_timeout_seconds"
            )
        if self.history_events > HISTORY_EVENT_LIMIT:
            raise ValueError(
                f"poll_seconds is {self.poll_seconds}: waiting to the time limits would write {self.history_events:,}"
                f" events into an execution's history; Step Functions allows {HISTORY_EVENT_LIMIT:,}."
                " Raise poll_seconds or lower the time limits"
            )
        return self

    @property
    def history_events(self) -> int:
        """How many events an execution writes that waits to every time limit."""
        waiting = 2 * (self.training_timeout_seconds + self.endpoint_timeout_seconds)
        # One teardown a stage, and both again when the run fails.
        tearing_down = 4 * self.teardown_timeout_seconds
        events = waiting * _EVENTS_PER_POLL + tearing_down * _EVENTS_PER_TEARDOWN_POLL
        return events // self.poll_seconds + _EVENTS_BESIDE_WAITING

    @property
    def deployment_id(self) -> str:
        """The id that every name and tag of this deployment is derived from."""
        if self.name is not None:
            return self.name
        return "census-segmentation" if self.stage == "dev" else f"census-seg-{self.stage}"

    @property
    def is_protected(self) -> bool:
        """Whether the stack refuses to be deleted."""
        return self.stage == "prod" if self.termination_protection is None else self.termination_protection

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> "Settings":
        """Read the settings from CDK context.

        Parameters
        ----------
        context
            ``segmentation`` holds them as an object (or as JSON text); ``segmentation.<setting>`` overrides one of
            them, so that ``npx cdk deploy -c segmentation.stage=prod`` does what it says.

        Raises
        ------
        SettingsError
            For unknown keys and values that aren't allowed: all of them, in one line.
        """
        given = _as_json(context.get(CONTEXT_KEY, {}))
        if not isinstance(given, dict):
            raise SettingsError(f"{CONTEXT_KEY} is {given!r}; expected an object of settings")
        prefix = f"{CONTEXT_KEY}."
        overrides = {key.removeprefix(prefix): value for key, value in context.items() if key.startswith(prefix)}
        values = given | {key: _override(key, value) for key, value in overrides.items()}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingsError("; ".join(_explain(problem) for problem in error.errors())) from None


def _as_json(value: Any) -> Any:
    """Read what the command line gave as text; leave what isn't JSON as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _override(key: str, value: Any) -> Any:
    """Read one setting from the command line, where an account's digits are text and no number."""
    return value if key in ("account", "stage", "name") else _as_json(value)


def _explain(problem: Any) -> str:
    """Say one problem in one line: the key, the value, and what is allowed."""
    key = ".".join(str(part) for part in problem["loc"] if str(part) in Settings.model_fields or isinstance(part, int))
    if problem["type"] == "extra_forbidden":
        return f"{CONTEXT_KEY}.{problem['loc'][0]} is no setting; expected one of {', '.join(Settings.model_fields)}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not key:
        return f"{CONTEXT_KEY}: {message}"
    return f"{CONTEXT_KEY}.{key} is {json.dumps(problem['input'], default=str)}: {message}"
