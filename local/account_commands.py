"""Runs the command that checks an account: synthesizes the stack, checks, prints the table."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from local import preflight, terminal
from local.account import Account
from local.errors import UserError
from local.preflight import Row
from local.session import Options, embedded_account
from local.synth import SynthError, synth
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
