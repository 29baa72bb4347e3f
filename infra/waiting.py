"""States that launch a training job or an endpoint and wait until it is ready, has failed or takes too long."""

from dataclasses import dataclass

from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from contract.names import CAPACITY_MESSAGES, QUOTA_FULL, ROOM_STATE
from infra.settings import LONGEST_WAIT_FOR_ROOM

_FIRST_WAIT_FOR_ROOM = 30


@dataclass(frozen=True)
class Polls:
    """When to poll a job or an endpoint: rarely until it is due, then every few seconds.

    Each poll makes three state transitions. If a run polled every few seconds throughout, they would cost as much as
    SageMaker.

    Attributes
    ----------
    usual_seconds
        How long the job or the endpoint usually takes.
    close_seconds
        The interval between polls while it is due: from 93 % to 110 % of the usual time.
    """

    usual_seconds: int
    close_seconds: int

    @property
    def first_seconds(self) -> int:
        """The time until the first poll: half the usual time and one interval."""
        return self.usual_seconds // 2 + self.close_seconds

    @property
    def wide_seconds(self) -> int:
        """The interval between polls before and after it is due."""
        return 3 * self.close_seconds

    @property
    def due(self) -> tuple[int, int]:
        """The seconds after the launch between which it is due."""
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
    """A job or an endpoint to wait for, and how to read its description.

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
        Statuses: the one that is waited for, those while it is in progress, and the one that has a failure reason.
    limit_seconds
        How long it may take.
    room_seconds
        How long to wait for room under the account's quotas.
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
    room_seconds: int
    polls: Polls


def launch_and_wait(
    scope: Construct,
    awaited: Awaited,
    *,
    launch: tasks.LambdaInvoke,
    describe: tasks.CallAwsService,
    then: sfn.IChainable,
) -> sfn.Chain:
    """Return the chain launch -> describe -> is it ready?, with the loops that wait and the states that fail.

    The time limit of a state does not include the other states of a loop, so the Wait states add up the time waited.
    The launch state sets it to 0.
    """
    _wait_for_room(scope, awaited, launch)
    # In JSONata, because only there can a Wait state compute its output. No further state is needed to count.
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


def _wait_for_room(scope: Construct, awaited: Awaited, launch: tasks.LambdaInvoke) -> None:
    """Launch again after a while if other runs use up the account's quota; the waits grow and vary at random.

    A run that waits here holds no instance: its job has ended, or its endpoint does not exist yet.
    """
    first = f"'backoff_seconds': {_FIRST_WAIT_FOR_ROOM}, 'next_wait_seconds': {_FIRST_WAIT_FOR_ROOM}"
    room = f"$exists($states.input.room) ? $states.input.room : {{'waited_seconds': 0, {first}}}"
    wait = sfn.Wait.jsonata(
        scope,
        ROOM_STATE.format(awaited.name),
        time=sfn.WaitTime.seconds(f"{{% ($room := {room}; $room.next_wait_seconds) %}}"),
        outputs=(
            f"{{% ($room := {room};"
            f" $backoff := $min([{LONGEST_WAIT_FOR_ROOM}, 2 * $room.backoff_seconds]);"
            " $merge([$states.input, {'room': {"
            "'waited_seconds': $room.waited_seconds + $room.next_wait_seconds,"
            " 'backoff_seconds': $backoff,"
            " 'next_wait_seconds': $ceil($backoff * (0.5 + $random() / 2))}}])) %}"
        ),
    )
    in_time = sfn.Condition.number_less_than("$.room.waited_seconds", awaited.room_seconds)
    no_room = sfn.Fail(scope, f"{awaited.name}HasNoRoom", error=QUOTA_FULL, cause_path="$.full.Cause")
    wait.next(sfn.Choice(scope, f"MayWaitFor{awaited.name}").when(in_time, launch).otherwise(no_room))
    launch.add_catch(wait, errors=[QUOTA_FULL], result_path="$.full")


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
