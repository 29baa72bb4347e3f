"""Runs the commands that work in an AWS account, after synthesizing the stack."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table
from rich.text import Text

from local import preflight, terminal
from local.account import Account
from local.destroy import destroy
from local.errors import UserError
from local.preflight import Row
from local.program import PROGRAM
from local.session import UP, Options, embedded_account
from local.stack import OUTPUTS, Stack
from local.synth import ROOT, SynthError, synth
from local.template import Template

_STYLES = {"ok": "green", "warning": "yellow", "failed": "red"}


def run_preflight(
    profile: str | None,
    region: str | None,
    context: Mapping[str, str],
    *,
    embedded: Options | None,
    as_json: bool,
) -> None:
    """Check the account and print the table.

    Parameters
    ----------
    context
        CDK context, as in ``cdk deploy -c``.
    embedded
        The options of an embedded AWS to check instead of a real account.

    Raises
    ------
    UserError
        If a check failed.
    """
    rows = list(preflight.tools())
    if not any(row.verdict == "failed" for row in rows):
        with _account(profile, region, embedded) as account, tempfile.TemporaryDirectory(prefix="census-") as folder:
            rows += _rows(account, Path(folder), context)
    if as_json:
        terminal.print_line(json.dumps([row.as_dict() for row in rows], indent=1))
    else:
        terminal.console().print(_table(rows))
    failed = [row.subject for row in rows if row.verdict == "failed"]
    if failed:
        raise UserError(f"not ready to deploy: {', '.join(dict.fromkeys(failed))}")


def run_destroy(
    profile: str | None,
    region: str | None,
    context: Mapping[str, str],
    *,
    stop: bool,
    force: bool,
    embedded: bool,
) -> None:
    """Delete the stack, after making sure that nothing of its runs is left.

    Parameters
    ----------
    context
        CDK context, as in ``cdk destroy -c``.
    stop
        Whether runs that are in progress are stopped.
    force
        Whether the CDK deletes the stack without asking for confirmation.
    embedded
        Whether the stack is that of the embedded AWS that `up` started.

    Raises
    ------
    UserError
        As for :func:`local.destroy.destroy`; or if a setting is invalid, or a request to AWS fails.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="census-") as folder:
            template = Template.read(synth(Path(folder), context))
    except SynthError as error:
        raise UserError(str(error)) from error
    if embedded:
        if (up := Stack.find(UP)) is None:
            raise UserError(f"the embedded AWS is not running; start it with: {PROGRAM} up")
        account, delete = Account.embedded(up.cloud), partial(_delete_embedded, up, template.name)
    else:
        account = Account.of_profile(profile, region or template.region)
        delete = partial(_delete_with_cdk, account.region, profile, context, force=force)
    try:
        existed = destroy(account, template, delete, stop=stop, report=terminal.print_line)
    except (ClientError, BotoCoreError) as error:
        raise UserError(f"a request to AWS failed: {error}; check the account with: {PROGRAM} preflight") from error
    if not existed:
        terminal.print_line(f"There is no stack {template.name} in {account.region}.")


def _delete_embedded(up: Stack, name: str) -> None:
    from embedded_aws.cloud.deploy import DeployError  # noqa: PLC0415 - not needed for an account
    from embedded_aws.cloud.deploy import destroy as delete_stack  # noqa: PLC0415

    try:
        delete_stack(up.cloud, name)
    except DeployError as error:
        raise UserError(str(error)) from error
    (UP / OUTPUTS).unlink()
    terminal.print_line(f"The embedded AWS keeps running without the stack; stop it with: {PROGRAM} down")


def _delete_with_cdk(region: str, profile: str | None, context: Mapping[str, str], *, force: bool) -> None:
    command = ["npx", "cdk", "destroy", *(["--force"] if force else []), *(["--profile", profile] if profile else [])]
    for key, value in context.items():
        command += ["-c", f"{key}={value}"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"AWS_REGION": region}, check=False)
    if done.returncode:
        raise UserError(f"npx cdk destroy ended with exit code {done.returncode}; its reason is above")


def _rows(account: Account, folder: Path, context: Mapping[str, Any]) -> Iterator[Row]:
    try:
        template = Template.read(synth(folder, context))
    except SynthError as error:
        yield Row("settings", "failed", str(error), "correct cdk.json or the -c options")
        return
    yield Row("settings", "ok", f"synthesizes {template.name}")
    yield from preflight.check(account, template)


@contextmanager
def _account(profile: str | None, region: str | None, embedded: Options | None) -> Iterator[Account]:
    if embedded is None:
        yield Account.of_profile(profile, region)
    else:
        with embedded_account(embedded) as account:
            yield account


def _table(rows: list[Row]) -> Table:
    table = Table("check", "verdict", "found", "remedy", box=None, pad_edge=False)
    for row in rows:
        style = _STYLES[row.verdict]
        table.add_row(row.subject, Text(row.verdict, style), row.finding, row.remedy)
    return table
