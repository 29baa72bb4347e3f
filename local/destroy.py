"""Deletes a deployed stack once nothing of its runs is left in SageMaker.

The janitor is part of the stack. What a run still has in SageMaker when the stack is deleted, nothing deletes any more.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from local.account import Account
from local.errors import UserError
from local.template import Template

LIMIT_SECONDS: Final = 4_500.0
"""How long SageMaker may take: an endpoint can hang in ``Creating`` for an hour, and cannot be deleted meanwhile."""
SETTLE_SECONDS: Final = 60.0
"""The time limit of the functions that start runs, training jobs and endpoints; one of them may still be running."""
POLL_SECONDS: Final = 5.0

_BY_HAND: Final = 'see "Find and remove by hand" in docs/operations.md'


@dataclass(frozen=True)
class Waits:
    """How long to wait for what, in seconds.

    Attributes
    ----------
    limit
        Until SageMaker has nothing left.
    settle
        Until functions that were already running have ended.
    poll
        Between two sweeps.
    """

    limit: float = LIMIT_SECONDS
    settle: float = SETTLE_SECONDS
    poll: float = POLL_SECONDS


def destroy(
    account: Account,
    template: Template,
    delete: Callable[[], None],
    *,
    stop: bool,
    report: Callable[[str], None],
    waits: Waits = Waits(),
) -> bool:
    """Delete the stack if none of its runs is in progress and SageMaker has nothing of theirs left.

    The stack starts no runs meanwhile. If it is not deleted, it starts runs again afterwards.

    Parameters
    ----------
    delete
        Deletes the stack.
    stop
        Whether runs that are in progress are stopped.
    report
        Is called with a line for each thing that is done or waited for.

    Returns
    -------
    bool
        Whether there was a stack to delete.

    Raises
    ------
    UserError
        If runs are in progress and may not be stopped, if SageMaker still has something left at the time limit, or if
        the stack cannot be deleted.
    """
    stack = account.stack(template.name)
    if stack is None:
        return False
    if stack.get("EnableTerminationProtection"):
        raise UserError(f"{template.name} has termination protection; set `termination_protection` to false and deploy")
    outputs = account.outputs(stack)
    if "StateMachineArn" not in outputs:
        raise UserError(f"{template.name} is {stack['StackStatus']}, without a janitor to call: {_BY_HAND}")
    deployment = _Deployment(account, template.run_settings.deployment_id, outputs["StateMachineArn"])
    with deployment.paused():
        _clear(deployment, stop=stop, report=report, waits=waits)
        report(f"SageMaker has nothing of {template.name} left; deleting the stack")
        delete()
    return True


def _clear(deployment: "_Deployment", *, stop: bool, report: Callable[[str], None], waits: Waits) -> None:
    """Stop the runs if that is allowed, and sweep until nothing is left and no function can add anything."""
    now = time.monotonic()
    settled, deadline = now + waits.settle, now + waits.limit
    waited_for: list[str] = []
    while True:
        running = deployment.running()
        if running and not stop:
            raise _refusal(running)
        for execution in running:
            report(f"stopping {_run_id(execution)}")
            deployment.stop(execution)
            settled = time.monotonic() + waits.settle
        left = deployment.sweep()
        if not running and not left and time.monotonic() >= settled:
            return
        if time.monotonic() > deadline:
            message = f"SageMaker still has something left after {waits.limit:.0f} s; the stack was not deleted"
            raise UserError(f"{message}; run the command again, or {_BY_HAND}", details=tuple(left))
        if (waiting := left or ["functions that may still be running"]) != waited_for:
            report(f"waiting for {', '.join(waiting)}")
            waited_for = waiting
        time.sleep(waits.poll)


def _refusal(running: list[str]) -> UserError:
    return UserError(
        "runs are in progress; the stack was not deleted. Wait until they end, or stop them with --stop",
        details=tuple(map(_run_id, running)),
    )


def _run_id(execution_arn: str) -> str:
    return execution_arn.rpartition(":")[2]


@dataclass(frozen=True)
class _Deployment:
    """The runs of a deployed stack, and its janitor."""

    account: Account
    deployment_id: str
    state_machine_arn: str

    def running(self) -> list[str]:
        """Return the ARNs of the executions in progress."""
        pages = self.account.client("stepfunctions").get_paginator("list_executions")
        found = pages.paginate(stateMachineArn=self.state_machine_arn, statusFilter="RUNNING")
        return [execution["executionArn"] for page in found for execution in page["executions"]]

    def stop(self, execution_arn: str) -> None:
        """Stop an execution."""
        self.account.client("stepfunctions").stop_execution(
            executionArn=execution_arn, error="StackDestroyed", cause="The stack is being deleted."
        )

    def sweep(self) -> list[str]:
        """Call the janitor once, and return what it found, or why that is not known."""
        response = self.account.client("lambda").invoke(FunctionName=f"{self.deployment_id}-sweep", Payload=b"{}")
        document = json.loads(response["Payload"].read())
        if "FunctionError" in response:
            return [f"the janitor, which failed: {document.get('errorMessage', document)}"]
        return list(document["found"])

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the stack start no runs during a block; new CSVs wait in its queue."""
        functions, name = self.account.client("lambda"), f"{self.deployment_id}-start-run"
        missing = functions.exceptions.ResourceNotFoundException
        try:
            functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        except missing as error:
            raise UserError(f"there is no function {name}, so the stack is not complete: {_BY_HAND}") from error
        try:
            yield
        finally:
            with suppress(missing):  # deleted together with the stack
                functions.delete_function_concurrency(FunctionName=name)
