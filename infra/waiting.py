"""Launch something in SageMaker, ask how it is until it is ready, and fail when it fails or takes too long."""

from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from contract.names import CAPACITY_MESSAGES


@dataclass(frozen=True)
class Awaited:
    """What is waited for, and what its description says.

    Attributes
    ----------
    name
        As in states' names, such as ``PcaTraining``.
    error
        What the errors' names start with, such as ``TrainingJob``.
    launch_path, path
        Where the launcher's answer and the description are kept.
    name_field, status_field
        The description's fields.
    ready, working, failed
        The statuses: one that is waited for, those of something under way, and the one that comes with a reason.
    limit_seconds, poll_seconds
        How long it may take, and how often it is asked for.
    """

    name: str
    error: str
    launch_path: str
    path: str
    name_field: str
    status_field: str
    ready: str
    working: tuple[str, ...]
    failed: str
    limit_seconds: int
    poll_seconds: int


def launch_and_wait(
    scope: Construct,
    awaited: Awaited,
    *,
    launch: tasks.LambdaInvoke,
    describe: tasks.CallAwsService,
    then: sfn.IChainable,
) -> sfn.Chain:
    """Return the chain launch -> describe -> ready? with the loop that waits, and its ways to fail.

    No state's own time limit spans a loop, so its turns are counted: the launcher starts the count at 0.
    """
    count = sfn.Pass(
        scope,
        f"Count{awaited.name}Polls",
        parameters={
            "name": sfn.JsonPath.string_at(f"{awaited.launch_path}.name"),
            "instance_type": sfn.JsonPath.string_at(f"{awaited.launch_path}.instance_type"),
            "polls": sfn.JsonPath.math_add(sfn.JsonPath.number_at(f"{awaited.launch_path}.polls"), 1),
        },
        result_path=awaited.launch_path,
    )
    wait = sfn.Wait(
        scope,
        f"WaitFor{awaited.name}",
        time=sfn.WaitTime.duration(Duration.seconds(awaited.poll_seconds)),
    )
    wait.next(count).next(describe)

    status, reason = f"{awaited.path}.{awaited.status_field}", f"{awaited.path}.FailureReason"
    has_failed = sfn.Condition.string_equals(status, awaited.failed)
    has_reason = sfn.Condition.is_present(reason)
    no_capacity = sfn.Condition.or_(
        *(sfn.Condition.string_matches(reason, f"*{message}*") for message in CAPACITY_MESSAGES)
    )
    is_working = sfn.Condition.or_(*(sfn.Condition.string_equals(status, each) for each in awaited.working))
    turns = awaited.limit_seconds // awaited.poll_seconds
    in_time = sfn.Condition.number_less_than(f"{awaited.launch_path}.polls", turns)

    choice = (
        sfn.Choice(scope, f"Is{awaited.name}Ready")
        .when(sfn.Condition.string_equals(status, awaited.ready), then)
        .when(sfn.Condition.and_(is_working, in_time), wait)
        .when(is_working, _timed_out(scope, awaited))
        .when(sfn.Condition.and_(has_failed, has_reason, no_capacity), launch)
        .when(sfn.Condition.and_(has_failed, has_reason), _failed(scope, awaited, reason))
        .otherwise(_ended(scope, awaited, status))
    )
    return launch.next(describe).next(choice)


def _failed(scope: Construct, awaited: Awaited, reason: str) -> sfn.Fail:
    return sfn.Fail(scope, f"{awaited.name}Failed", error=f"{awaited.error}Failed", cause_path=reason)


def _ended(scope: Construct, awaited: Awaited, status: str) -> sfn.Fail:
    cause = sfn.JsonPath.format(
        "{} is {}: it was stopped or deleted while the run waited for it",
        sfn.JsonPath.string_at(f"{awaited.path}.{awaited.name_field}"),
        sfn.JsonPath.string_at(status),
    )
    return sfn.Fail(scope, f"{awaited.name}Ended", error=f"{awaited.error}Ended", cause_path=cause)


def _timed_out(scope: Construct, awaited: Awaited) -> sfn.Fail:
    cause = sfn.JsonPath.format(
        f"{{}} is still {{}} after {awaited.limit_seconds} s",
        sfn.JsonPath.string_at(f"{awaited.path}.{awaited.name_field}"),
        sfn.JsonPath.string_at(f"{awaited.path}.{awaited.status_field}"),
    )
    return sfn.Fail(scope, f"{awaited.name}TimedOut", error=f"{awaited.error}TimedOut", cause_path=cause)
