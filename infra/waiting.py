"""States that launch something in SageMaker and wait until it is ready, has failed, or takes too long."""

from dataclasses import dataclass

from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from contract.names import CAPACITY_MESSAGES


@dataclass(frozen=True)
class Polls:
    """When to ask whether something is ready: rarely until it is due, then every few seconds.

    Each poll is three state transitions, which cost as much as SageMaker itself where polls are frequent throughout.

    Attributes
    ----------
    usual_seconds
        How long it usually takes.
    close_seconds
        The interval between polls while it is due: from 93 % to 110 % of the usual time.
    """

    usual_seconds: int
    close_seconds: int

    @property
    def first_seconds(self) -> int:
        """Half the usual time and one interval: even what takes half as long is found soon."""
        return self.usual_seconds // 2 + self.close_seconds

    @property
    def wide_seconds(self) -> int:
        """The interval between polls before and after it is due."""
        return 3 * self.close_seconds

    @property
    def due(self) -> tuple[int, int]:
        """From when until when it is due, in seconds after the launch."""
        return round(0.93 * self.usual_seconds), round(1.1 * self.usual_seconds)

    def after_a_wait(self, launch_path: str) -> str:
        """Return the JSONata expression of a Wait state's output: the time waited so far, and the next wait.

        Parameters
        ----------
        launch_path
            The object in the state's input that has ``waited_seconds`` and ``next_wait_seconds``, such as ``$.launch``.
        """
        field = launch_path.removeprefix("$.")
        begin, end = self.due
        return (
            f"{{% ($launch := $states.input.{field};"
            " $waited := $launch.waited_seconds + $launch.next_wait_seconds;"
            f" $next := $waited >= {begin} and $waited < {end} ? {self.close_seconds} : {self.wide_seconds};"
            f" $merge([$states.input, {{'{field}': $merge([$launch,"
            " {'waited_seconds': $waited, 'next_wait_seconds': $next}])}])) %}"
        )


@dataclass(frozen=True)
class Awaited:
    """What is waited for, and how its description is read.

    Attributes
    ----------
    name
        As it appears in the states' names, such as ``PcaTraining``.
    error
        The prefix of the errors' names, such as ``TrainingJob``.
    launch_path, path
        Where the launcher's response and the description are kept.
    name_field, status_field
        Fields of the description.
    ready, working, failed
        Statuses: the one that is waited for, those of something in progress, and the one that comes with a reason.
    limit_seconds
        How long it may take.
    polls
        When to ask for its status.
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
    polls: Polls


def launch_and_wait(
    scope: Construct,
    awaited: Awaited,
    *,
    launch: tasks.LambdaInvoke,
    describe: tasks.CallAwsService,
    then: sfn.IChainable,
) -> sfn.Chain:
    """Return the chain launch -> describe -> is it ready?, with the loop that waits, and its ways to fail.

    No state's own time limit spans a loop, so the time waited is added up; the launch state sets it to 0.
    """
    # JSONata, because only there can a Wait state compute an output: counting needs no state of its own.
    wait = sfn.Wait.jsonata(
        scope,
        f"WaitFor{awaited.name}",
        time=sfn.WaitTime.seconds(f"{{% $states.input.{awaited.launch_path.removeprefix('$.')}.next_wait_seconds %}}"),
        outputs=awaited.polls.after_a_wait(awaited.launch_path),
    )
    wait.next(describe)

    status, reason = f"{awaited.path}.{awaited.status_field}", f"{awaited.path}.FailureReason"
    has_failed = sfn.Condition.string_equals(status, awaited.failed)
    has_reason = sfn.Condition.is_present(reason)
    no_capacity = sfn.Condition.or_(
        *(sfn.Condition.string_matches(reason, f"*{message}*") for message in CAPACITY_MESSAGES)
    )
    is_working = sfn.Condition.or_(*(sfn.Condition.string_equals(status, each) for each in awaited.working))
    in_time = sfn.Condition.number_less_than(f"{awaited.launch_path}.waited_seconds", awaited.limit_seconds)

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
