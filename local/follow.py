"""Follows an execution until it ends."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from local.steps import WAITING_FOR_ROOM, History, Step, epoch_seconds

Status = Literal["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE"]

POLL_SECONDS: Final = 0.2
_EVENTS_PER_PAGE: Final = 40  # a map adds some ten events between two looks


@dataclass(frozen=True)
class Snapshot:
    """The state of an execution at one moment.

    Attributes
    ----------
    status
        The status that Step Functions reports.
    steps
        In the order in which they began.
    seconds
        The time that the execution took, or has taken so far.
    error, cause
        Of a failed execution; otherwise empty.
    """

    status: Status
    steps: list[Step]
    seconds: float
    error: str = ""
    cause: str = ""

    @property
    def waits_for_room(self) -> bool:
        """Whether a step waits until other jobs or endpoints of the account have ended."""
        return any(step.ended is None and step.note == WAITING_FOR_ROOM for step in self.steps)


class Follower:
    """Follows one execution; each :meth:`look` requests only the events since the previous one.

    Parameters
    ----------
    stepfunctions
        A boto3 client.
    execution_arn
        The execution, which need not exist yet.
    """

    def __init__(self, stepfunctions: Any, execution_arn: str) -> None:
        self._client = stepfunctions
        self.execution_arn = execution_arn
        self._history = History()

    def look(self) -> Snapshot | None:
        """Return the execution as it is now, or ``None`` before it exists."""
        try:
            execution = self._client.describe_execution(executionArn=self.execution_arn)
        except self._client.exceptions.ExecutionDoesNotExist:
            return None
        self._history.add(self._new_events())
        started = epoch_seconds(execution["startDate"])
        stopped = epoch_seconds(execution["stopDate"]) if execution.get("stopDate") else None
        if execution["status"] != "RUNNING":
            cut_short = execution["status"] in {"ABORTED", "TIMED_OUT"}
            self._history.close(stopped or time.time(), cut_short=cut_short)
        return Snapshot(
            execution["status"],
            self._history.steps,
            (stopped or time.time()) - started,
            execution.get("error", ""),
            execution.get("cause", ""),
        )

    def watch(
        self, seen: Callable[[Snapshot], None], *, appear_within: float = 60.0, every: float = POLL_SECONDS
    ) -> Snapshot:
        """Look repeatedly until the execution ends.

        Parameters
        ----------
        seen
            Called with every snapshot.
        appear_within
            Seconds to wait for the execution to begin.
        every
            Seconds between two looks.

        Raises
        ------
        TimeoutError
            If it does not begin in time.
        """
        deadline = time.monotonic() + appear_within
        while True:
            if (snapshot := self.look()) is not None:
                seen(snapshot)
                if snapshot.status != "RUNNING":
                    return snapshot
            elif time.monotonic() > deadline:
                raise TimeoutError(f"no run began within {appear_within:.0f} s of the upload")
            time.sleep(every)

    def _new_events(self) -> list[Mapping[str, Any]]:
        """Read the history backwards up to the last event seen, and return it forwards."""
        found: list[Mapping[str, Any]] = []
        token: dict[str, str] = {}
        while True:
            page = self._client.get_execution_history(
                executionArn=self.execution_arn, maxResults=_EVENTS_PER_PAGE, reverseOrder=True, **token
            )
            found += [event for event in page["events"] if event["id"] > self._history.last_event]
            reached = page["events"] and page["events"][-1]["id"] <= self._history.last_event + 1
            if reached or "nextToken" not in page:
                return found[::-1]
            token = {"nextToken": page["nextToken"]}
