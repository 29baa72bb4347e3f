"""Runs the commands that work in an AWS account, after synthesizing the stack."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from local import cdk, preflight, show, terminal
from local.account import Account, reporting_failed_requests
from local.destroy import destroy
from local.errors import UserError
from local.preflight import Row
from local.program import PROGRAM
from local.session import UP, Options, account_of
from local.stack import OUTPUTS, Stack
from local.synth import SynthError, synth
from local.template import Template


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
        with account_of(profile, region, embedded) as account, tempfile.TemporaryDirectory(prefix="census-") as folder:
            rows += _rows(account, Path(folder), context)
    document = {"checks": [row.as_dict() for row in rows]}
    failed = [row.subject for row in rows if row.verdict == "failed"]
    if not as_json:
        terminal.console().print(show.verdicts(rows))
    if failed:
        raise UserError(f"not ready to deploy: {', '.join(dict.fromkeys(failed))}", document=document)
    if as_json:
        terminal.print_line(json.dumps(document, indent=1))


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
    with tempfile.TemporaryDirectory(prefix="census-") as folder:
        assembly = synth(Path(folder), context)
        template = Template.read(assembly)
        account = _account_of_up() if embedded else Account.of_profile(profile, region or template.region)
        delete = cdk.delete if force or embedded else cdk.delete_if_confirmed
        with reporting_failed_requests():
            existed = destroy(
                account, template, partial(delete, account, assembly), stop=stop, report=terminal.print_line
            )
    if not existed:
        terminal.print_line(f"There is no stack {template.name} in {account.region}.")
    elif embedded:
        (UP / OUTPUTS).unlink()
        terminal.print_line(f"The embedded AWS keeps running without the stack; stop it with: {PROGRAM} down")


def _account_of_up() -> Account:
    if (up := Stack.find(UP)) is None:
        raise UserError(f"the embedded AWS is not running; start it with: {PROGRAM} up")
    return up.account


def _rows(account: Account, folder: Path, context: Mapping[str, Any]) -> Iterator[Row]:
    try:
        template = Template.read(synth(folder, context))
    except SynthError as error:
        yield Row("settings", "failed", str(error), "correct cdk.json or the -c options")
        return
    yield Row("settings", "ok", f"synthesizes {template.name}")
    yield from preflight.check(account, template)
