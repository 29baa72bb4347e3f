"""Deploys and deletes a synthesized stack with the CDK's command line, in a real account or in an embedded AWS."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

from local.account import Account
from local.errors import UserError
from local.synth import ROOT

_LINES_SHOWN: Final = 8


def deploy(account: Account, assembly: Path) -> None:
    """Deploy the stack of a cloud assembly.

    If the calling thread is interrupted, the command line ends; CloudFormation goes on.

    Raises
    ------
    UserError
        If it cannot be deployed; the details are the last lines that the CDK printed.
    """
    _run(account, _command("deploy", assembly, "--require-approval", "never"))


def delete(account: Account, assembly: Path) -> None:
    """Delete the stack of a cloud assembly, except for what its template retains.

    Raises
    ------
    UserError
        As for :func:`deploy`.
    """
    _run(account, _command("destroy", assembly, "--force"))


def delete_if_confirmed(account: Account, assembly: Path) -> None:
    """Delete the stack of a cloud assembly after the CDK has asked the user, at the terminal, for confirmation.

    Raises
    ------
    UserError
        If the stack cannot be deleted; the CDK has printed why.
    """
    command = _command("destroy", assembly)
    done = subprocess.run(command, cwd=ROOT, env=os.environ | account.variables, check=False)
    if done.returncode:
        raise UserError(f"npx cdk destroy ended with exit code {done.returncode}; its reason is above")


def _command(name: str, assembly: Path, *options: str) -> list[str]:
    return ["npx", "cdk", name, "--app", str(assembly), "--no-notices", *options]


def _run(account: Account, command: list[str]) -> None:
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | account.variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that Ctrl-C reaches it through this process only
    )
    try:
        output, _ = process.communicate()
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # npx would leave the CDK's own process running
        process.wait()
        raise
    if process.returncode:
        shown = [line.strip() for line in output.splitlines() if line.strip()][-_LINES_SHOWN:]
        raise UserError(f"{' '.join(command[:3])} ended with exit code {process.returncode}", details=tuple(shown))
