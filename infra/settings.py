"""Every setting of the stack, with its default and the values it may have; read from ``segmentation`` in cdk.json."""

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, ValidationError, field_validator, model_validator
from pydantic.dataclasses import dataclass

from contract.instance_types import has_local_storage
from contract.names import STACK_TAG, TAG_PREFIX
from contract.run_settings import Limits, RunParameters, setting

CONTEXT_KEY = "segmentation"
HISTORY_EVENT_LIMIT = 25_000
"""Step Functions fails an execution whose history has more events."""

CLOSE_POLLS_SECONDS = 120
"""A teardown first polls every ``poll_seconds``, because nearly all of them take a few seconds."""
WIDE_POLLS = 6
"""After that, a teardown polls this many times less often, because the creation of an endpoint seems to hang."""
LONGEST_WAIT_FOR_ROOM = 300
"""A run that waits for room under a quota launches again after at most this number of seconds."""

# The events that one poll adds to the history: five for its task, and two each for its Wait and its Choice. A launch
# that finds no room adds as many.
_EVENTS_PER_POLL = 9
# After a few shorter ones, each wait for room lasts between half of the longest wait and all of it.
_SHORTEST_WAIT_FOR_ROOM = LONGEST_WAIT_FOR_ROOM // 2
_EVENTS_BESIDE_WAITING = 500

_INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]+\.(\d*x?large|medium|metal)")
_POLICY_ARN = r"^arn:aws[a-z-]*:iam::(\d{12}|aws):policy/.+$"
_BUCKET = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

LOG_RETENTION_DAYS = {
    1: "ONE_DAY", 3: "THREE_DAYS", 5: "FIVE_DAYS", 7: "ONE_WEEK", 14: "TWO_WEEKS", 30: "ONE_MONTH", 60: "TWO_MONTHS",
    90: "THREE_MONTHS", 120: "FOUR_MONTHS", 150: "FIVE_MONTHS", 180: "SIX_MONTHS", 365: "ONE_YEAR",
    400: "THIRTEEN_MONTHS", 545: "EIGHTEEN_MONTHS", 731: "TWO_YEARS", 1096: "THREE_YEARS", 1827: "FIVE_YEARS",
    2192: "SIX_YEARS", 2557: "SEVEN_YEARS", 2922: "EIGHT_YEARS", 3288: "NINE_YEARS", 3653: "TEN_YEARS",
}  # fmt: skip
"""The retention periods that CloudWatch Logs allows, with CDK's name of each."""


class SettingsError(ValueError):
    """A setting has a value that is not allowed; the message names the key, the value and what is allowed."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True))
class Settings(RunParameters):
    """The settings of one deployment.

    Times are in seconds unless a name says otherwise. The default time limits are multiples of what a recorded run on
    SageMaker took: 191 s for a training job, 375 s and 440 s until an endpoint was in service.
    """

    stage: Annotated[str, Limits(pattern=r"^[a-z][a-z0-9]{0,8}$")] = setting(
        "dev",
        "Names this copy of the stack, so that several stages can exist in one account and region."
        " `dev` is called `census-segmentation`, any other stage `census-seg-<stage>`.",
    )
    name: Annotated[str, Limits(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=20)] | None = setting(
        None,
        "The deployment's id and the stack's name, in place of the one that `stage` gives. It is short"
        " because the name of every SageMaker resource starts with it.",
    )
    account: Annotated[str, Limits(pattern=r"^\d{12}$")] | None = setting(
        None, "The account to deploy to; null means the account of the deployer's credentials."
    )
    region: Annotated[str, Limits(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] | None = setting(
        None, "The region to deploy to; null means the region of the deployer's credentials."
    )
    tags: dict[str, str] = setting({}, "Tags of every resource of the stack, such as a cost center.")

    poll_seconds: Annotated[int, Limits(ge=1, le=300)] = setting(
        5,
        "Interval between polls while a training job or an endpoint is due, and during a teardown. Until a job or an"
        " endpoint is due, the run waits half its usual time and then polls three times less often.",
    )
    inference_concurrency: Annotated[int, Limits(ge=1, le=1_000)] = setting(
        2,
        "Number of shards that are sent to an endpoint at a time. An `ml.t2.medium` has two burstable cores, and a"
        " container must respond within 60 s, so by default each request has a core to itself.",
    )

    prepare_timeout_seconds: Annotated[int, Limits(ge=30, le=900)] = setting(
        900, "Time limit of reading, scaling and sharding the CSV. Lambda allows at most 900."
    )
    endpoint_timeout_seconds: Annotated[int, Limits(ge=60, le=86_400)] = setting(
        1_800, "Time limit for an endpoint to come into service: four times the recorded 440 s."
    )
    inference_timeout_seconds: Annotated[int, Limits(ge=10, le=900)] = setting(
        180,
        "Time limit of the inference of one shard. A container must respond within 60 s, and a request is"
        " retried within this limit.",
    )
    publish_timeout_seconds: Annotated[int, Limits(ge=30, le=900)] = setting(
        900, "Time limit of choosing k, and of writing the result. Lambda allows at most 900."
    )
    run_timeout_seconds: Annotated[int, Limits(ge=300, le=31_536_000)] = setting(
        14_400,
        "Time limit of the whole run, without the waits for room; then it is stopped and its resources are deleted:"
        " twelve times the recorded run.",
    )

    capacity_wait_seconds: Annotated[int, Limits(ge=60, le=604_800)] = setting(
        14_400,
        "How long each of the two models may wait for room under the account's quotas, in which case the run holds no"
        " instance. This time is added to the time limit of the run, once for each model.",
    )

    encryption: Literal["s3", "kms"] = setting(
        "s3",
        "`s3`: keys owned by AWS encrypt the buckets and the logs. `kms`: a customer managed key with"
        " rotation encrypts buckets, queue, logs, SageMaker's volumes and outputs. The topic always has a customer"
        " managed key.",
    )
    existing_key_arn: Annotated[str, Limits(pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/.+$")] | None = setting(
        None,
        "A customer managed key to use instead of one of the stack's own; docs/operations.md has the statements that"
        " its policy needs.",
    )
    existing_incoming_bucket: Annotated[str, Limits(pattern=_BUCKET)] | None = setting(
        None,
        "A bucket to use instead of an incoming bucket of the stack's own. It must be versioned and send its events to"
        " EventBridge.",
    )
    existing_results_bucket: Annotated[str, Limits(pattern=_BUCKET)] | None = setting(
        None,
        "A bucket to use instead of a results bucket of the stack's own. Its owner decides when objects expire:"
        " intermediate files have a tag for that.",
    )
    permissions_boundary: Annotated[str, Limits(pattern=_POLICY_ARN)] | None = setting(
        None, "The ARN of a managed policy that limits the permissions of every role of the stack."
    )
    role_path: Annotated[str, Limits(pattern=r"^/([\w+=,.@-]+/)*$", max_length=512)] = setting(
        "/", "The path of every role of the stack."
    )
    role_name_prefix: Annotated[str, Limits(pattern=r"^[\w+=,.@-]+$", max_length=24)] | None = setting(
        None,
        "The beginning of every role's name, such as `app-`; null lets CloudFormation choose the names. With a prefix,"
        " the names are the same in every region, and role names are shared by all regions: use one prefix per region.",
    )
    bootstrap_qualifier: Annotated[str, Limits(pattern=r"^[A-Za-z0-9_-]{1,10}$")] | None = setting(
        None, "The qualifier that `cdk bootstrap --qualifier` was given; null means CDK's own."
    )
    artifact_expiry_days: Annotated[int, Limits(ge=1, le=3_650)] = setting(
        90,
        "Number of days after which a run's intermediate files expire. Inputs, results and models do not expire.",
    )
    retain_data: bool = setting(
        True,
        "Whether buckets and keys are kept when the stack is deleted. If false, CloudFormation deletes"
        " them, but it refuses to delete a bucket that is not empty.",
    )
    termination_protection: bool | None = setting(
        None, "Whether the stack refuses to be deleted; null means true for the stage `prod` only."
    )

    alarm_email: str | None = setting(
        None,
        "Address that receives alarms, refused CSVs and finished runs by mail; the recipient must confirm"
        " the subscription.",
    )
    alarm_run_seconds: Annotated[int, Limits(ge=60, le=31_536_000)] = setting(
        2_400, "A run that takes longer, without its waits for room, raises an alarm: twice the recorded run."
    )
    monthly_budget_usd: Annotated[float, Limits(gt=0)] | None = setting(
        None,
        "Notify the topic at 80 % of this monthly cost, actual or forecast, of the resources with the cost"
        f" allocation tag `{STACK_TAG}`; null creates no budget. A few regions do not support budgets.",
    )

    @field_validator("training_instance_types", "hosting_instance_types")
    @classmethod
    def _instance_types(cls, types: list[str]) -> list[str]:
        for name in types:
            if not _INSTANCE_TYPE.fullmatch(name):
                raise ValueError(f"{name!r} is not a SageMaker instance type; expected for example 'ml.m5.large'")
        if len(set(types)) < len(types):
            raise ValueError("each instance type may appear once")
        return types

    @field_validator("training_instance_types")
    @classmethod
    def _can_train(cls, types: list[str]) -> list[str]:
        for name in types:
            if name.startswith(("ml.t2.", "ml.t3.")):
                raise ValueError(
                    f"{name!r} can host but cannot train; expected for example 'ml.c4.xlarge' or 'ml.m5.large'"
                )
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
                raise ValueError(f"{key!r} cannot be a tag; expected 1 to 128 characters, not aws:… or {TAG_PREFIX}…")
        return tags

    @model_validator(mode="after")
    def _volumes_take_a_key(self) -> Self:
        used = {"training_instance_types": self.training_instance_types}
        if self.hosts_models:
            used["hosting_instance_types"] = self.hosting_instance_types
        for key, types in used.items() if self.encryption == "kms" else ():
            if refused := [name for name in types if has_local_storage(name)]:
                raise ValueError(
                    f"{key} is {json.dumps(types)} and encryption is 'kms': SageMaker accepts no KMS key for the local"
                    f" NVMe storage of {', '.join(refused)}; expected types without local storage, for example"
                    " 'ml.m5.large', or encryption 's3'"
                )
        return self

    @model_validator(mode="after")
    def _vpc_is_whole(self) -> Self:
        if bool(self.vpc_subnet_ids) != bool(self.vpc_security_group_ids):
            raise ValueError(
                f"vpc_subnet_ids is {self.vpc_subnet_ids} and vpc_security_group_ids is {self.vpc_security_group_ids};"
                " expected both, or neither"
            )
        return self

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
        """The largest number of events in the history of an execution that waits up to every time limit."""
        waiting = 2 * (self.training_timeout_seconds + self.endpoint_timeout_seconds)
        # One teardown per stage, and both once more when the run fails.
        close, wide = CLOSE_POLLS_SECONDS, self.teardown_timeout_seconds / WIDE_POLLS
        polls = int((waiting + 4 * (close + wide)) // self.poll_seconds)
        launches = 2 * self.capacity_wait_seconds // _SHORTEST_WAIT_FOR_ROOM
        return (polls + launches) * _EVENTS_PER_POLL + _EVENTS_BESIDE_WAITING

    @property
    def execution_timeout_seconds(self) -> int:
        """The time limit of an execution: that of the run, and of both models' waits for room under quotas.

        The last wait for room can begin just before `capacity_wait_seconds` have passed.
        """
        return self.run_timeout_seconds + 2 * (self.capacity_wait_seconds + LONGEST_WAIT_FOR_ROOM)

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

    def run_parameters(self) -> dict[str, Any]:
        """Return the settings that handlers need, by name."""
        return {each.name: getattr(self, each.name) for each in fields(RunParameters)}

    @property
    def all_tags(self) -> dict[str, str]:
        """The tags of every resource: those of the settings, and the one that names the deployment."""
        return {**self.tags, STACK_TAG: self.deployment_id}

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> "Settings":
        """Read the settings from CDK context.

        Parameters
        ----------
        context
            ``segmentation`` holds them as an object or as JSON text; ``segmentation.<setting>`` overrides one of them,
            as in ``npx cdk deploy -c segmentation.stage=prod``.

        Raises
        ------
        SettingsError
            If keys are unknown or values are not allowed; one line names all of them.
        """
        given = _as_json(context.get(CONTEXT_KEY, {}))
        if not isinstance(given, dict):
            raise SettingsError(f"{CONTEXT_KEY} is {given!r}; expected an object of settings")
        prefix = f"{CONTEXT_KEY}."
        overrides = {key.removeprefix(prefix): value for key, value in context.items() if key.startswith(prefix)}
        values = given | {key: _override(key, value) for key, value in overrides.items()}
        try:
            return cls(**values)
        except ValidationError as error:
            raise SettingsError("; ".join(_explain(problem) for problem in error.errors())) from None


SETTING_NAMES = [*Settings.__annotations__, *(each.name for each in fields(RunParameters))]
"""Every setting, in the order of docs/settings.md."""


def _as_json(value: Any) -> Any:
    """Parse a value from the command line, which is text; return text that is not JSON unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _override(key: str, value: Any) -> Any:
    """Parse one setting from the command line; an account's digits remain text."""
    return value if key in ("account", "stage", "name") else _as_json(value)


def _explain(problem: Any) -> str:
    """Return one line that names the key, the value and what is allowed."""
    key = ".".join(str(part) for part in problem["loc"] if str(part) in SETTING_NAMES or isinstance(part, int))
    if problem["type"] == "unexpected_keyword_argument":
        return f"{CONTEXT_KEY}.{problem['loc'][0]} is not a setting; expected one of {', '.join(SETTING_NAMES)}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not key:
        return f"{CONTEXT_KEY}: {message}"
    return f"{CONTEXT_KEY}.{key} is {json.dumps(problem['input'], default=str)}: {message}"
