"""Tries a copy of the stack with one run: deploys it, compares its result with a rehearsal's, and deletes it."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from local import cdk, preflight, progress, results, show, synthetic_census, terminal
from local.account import Account, reporting_failed_requests
from local.clean_up import clean_up, leftovers, uninterrupted
from local.destroy import Waits
from local.disk import require_writable
from local.errors import UserError
from local.evidence import Evidence, differences
from local.follow import Follower
from local.preflight import Row
from local.program import PROGRAM
from local.session import DEPLOY, SYNTH, Options, account_of, embedded_account
from local.smoke_checks import Observed, check, costs
from local.stack import Deployed
from local.steps import StepLog
from local.synth import synth
from local.template import Template

_OF_A_COPY: Final[Mapping[str, Any]] = {
    "segmentation.stage": "smoke",
    "segmentation.name": "census-seg-smoke",
    "segmentation.termination_protection": False,
    "segmentation.existing_incoming_bucket": None,
    "segmentation.existing_results_bucket": None,
    "segmentation.alarm_email": None,
}
"""Settings by which the copy shares no bucket, name or address with another deployment."""
_OF_A_REHEARSAL: Final[Mapping[str, Any]] = {
    "segmentation.account": None,
    "segmentation.region": None,
    "segmentation.permissions_boundary": None,
    "segmentation.existing_key_arn": None,
    "segmentation.bootstrap_qualifier": None,
    "segmentation.vpc_subnet_ids": [],
    "segmentation.vpc_security_group_ids": [],
}
"""Settings that name what only a real account has."""
_IN_THE_EMBEDDED_AWS: Final = Waits(limit=60, settle=6, poll=0.2)
_APPEARS_WITHIN: Final = 300.0


@dataclass(frozen=True)
class Copy:
    """A copy of the stack that is to be tried in an account.

    Attributes
    ----------
    assembly
        The folder with the synthesized stack.
    waits
        How long to wait for what in this account.
    """

    account: Account
    assembly: Path
    template: Template
    waits: Waits


def run_smoke(
    profile: str | None,
    region: str | None,
    context: Mapping[str, str],
    *,
    embedded: Options | None,
    out: Path,
    as_json: bool,
) -> None:
    """Try a copy of the stack in an account, and print what was found.

    However that ends, the copy is deleted with its data, and AWS's responses are written to a folder.

    Parameters
    ----------
    context
        CDK context, as in ``cdk deploy -c``.
    embedded
        The options of an embedded AWS to try it in instead of a real account.
    out
        The folder for the evidence.
    as_json
        Whether to print one JSON document instead of steps and tables.

    Raises
    ------
    UserError
        If the account is not ready, the stack cannot be deployed, a check fails, or something is left.
    """
    require_writable(out, "--out")
    with tempfile.TemporaryDirectory(prefix="census-") as name, account_of(profile, region, embedded) as account:
        folder = Path(name)
        csv = folder / synthetic_census.FILE_NAME
        synthetic_census.write(csv)
        evidence = Evidence(account)
        with reporting_failed_requests():
            copy = _synthesize(account, folder, context, embedded=embedded is not None, quiet=as_json)
            _require_ready(copy)
            rehearsed, twins = _rehearse(csv, folder, context, quiet=as_json)
            try:
                seen = try_copy(copy, csv, folder / "results", evidence, quiet=as_json)
            finally:
                path = evidence.write(out)
                _say(f"AWS's responses: {path}", quiet=as_json)
        found = differences(evidence.document(), twins)
        _conclude(list(check(seen, rehearsed)), costs(seen), found, path, as_json=as_json)


def run_clean_up(profile: str | None, region: str | None, context: Mapping[str, str]) -> None:
    """Delete what a smoke test that was killed has left in an account.

    Raises
    ------
    UserError
        If something is left.
    """
    account = Account.of_profile(profile, region)
    with tempfile.TemporaryDirectory(prefix="census-") as folder, reporting_failed_requests():
        copy = _synthesize(account, Path(folder), context, embedded=False, quiet=False, bundle=False)
        _delete(copy, terminal.print_line)
    terminal.print_line(f"Nothing of {copy.template.name} is left.")


def _synthesize(
    account: Account, folder: Path, context: Mapping[str, Any], *, embedded: bool, quiet: bool, bundle: bool = True
) -> Copy:
    """Synthesize the copy; the embedded AWS runs its functions without layers, which take a minute to build."""
    kind, settings = "embedded" if embedded else "account", {**context, **_OF_A_COPY}
    if embedded:
        settings |= _OF_A_REHEARSAL
    with _steps(quiet=quiet) as log, log.step(SYNTH, "the CDK app to write its template"):
        assembly = synth(folder / f"cdk.{kind}", settings, bundle=bundle and not embedded)
    return Copy(account, assembly, Template.read(assembly), _IN_THE_EMBEDDED_AWS if embedded else Waits())


def _require_ready(copy: Copy) -> None:
    """Check the account as ``preflight`` does, and that no other smoke test uses it."""
    name = copy.template.name
    rows = [*preflight.tools(), *preflight.check(copy.account, copy.template)]
    if failed := [row for row in rows if row.verdict == "failed"]:
        lines = tuple(f"{row.subject}: {row.finding}; {row.remedy}" for row in failed)
        raise UserError(f"the account is not ready; nothing was deployed. Details: {PROGRAM} preflight", details=lines)
    if left := leftovers(copy.account, copy.template):
        raise UserError(
            f"{name} exists in {copy.account.region}: another smoke test is running, or one was killed. Delete what it"
            f" left with: {PROGRAM} smoke --clean-up",
            details=tuple(left),
        )


def _rehearse(
    csv: Path, folder: Path, context: Mapping[str, Any], *, quiet: bool
) -> tuple[Observed, Mapping[str, Any]]:
    """Try the copy in an embedded AWS, and return what was observed there, and its evidence."""
    _say("Rehearsal in the embedded AWS:", quiet=quiet)
    with embedded_account(Options()) as account:
        evidence = Evidence(account)
        copy = _synthesize(account, folder, context, embedded=True, quiet=quiet)
        observed = try_copy(copy, csv, folder / "rehearsal", evidence, quiet=quiet)
        if observed.snapshot.status != "SUCCEEDED":
            raise UserError(f"the rehearsal failed: {observed.snapshot.error}: {observed.snapshot.cause}")
        return observed, evidence.document()


def try_copy(copy: Copy, csv: Path, directory: Path, evidence: Evidence, *, quiet: bool) -> Observed:
    """Deploy the copy, run the census through it, look at what came out, and delete the copy in any case."""
    _say(f"In {copy.account.region}, {copy.template.name}:", quiet=quiet)
    with _steps(quiet=quiet) as log:
        try:
            with log.step(DEPLOY, "CloudFormation to create the stack"):
                cdk.deploy(copy.account, copy.assembly)
            return _run(copy, csv, directory, evidence, log)
        finally:
            with uninterrupted(), log.step("Delete", "the stack and its data to be deleted"):
                evidence.collect_stack(copy.template.name)
                _delete(copy, partial(_say, quiet=quiet))


def _run(copy: Copy, csv: Path, directory: Path, evidence: Evidence, log: StepLog) -> Observed:
    account = copy.account
    stack = Deployed.in_account(account, account.outputs(account.stack(copy.template.name) or {}))
    with log.step("Upload", "the CSV to be stored"):
        run_id = stack.upload(csv)
    follower = Follower(stack.client("stepfunctions"), stack.execution_arn(run_id))
    try:
        snapshot = follower.watch(
            lambda now: log.include(now.steps), appear_within=_APPEARS_WITHIN, every=copy.waits.poll
        )
    except TimeoutError as error:
        raise UserError(f"{error}; see the queue {stack.queue_url} and the logs of start_run") from error
    finally:
        evidence.collect_run(stack, run_id)
    with log.step("Look", "the results, the alarms and SageMaker's lists"):
        return Observed(
            run_id=run_id,
            snapshot=snapshot,
            files=results.fetch(stack.client("s3"), stack.results_bucket, run_id, directory),
            written=frozenset(
                # SageMaker names the folders of its models after the training jobs, and these after the run.
                name.replace(run_id, "<run>")
                for name in results.written(stack.client("s3"), stack.results_bucket, run_id)
            ),
            leftovers=stack.leftovers(),
            evidence=evidence.document(),
        )


def _delete(copy: Copy, report: Callable[[str], None]) -> None:
    left = clean_up(
        copy.account, copy.template, partial(cdk.delete, copy.account, copy.assembly), waits=copy.waits, report=report
    )
    if left:
        raise UserError(
            f"something of {copy.template.name} is left in {copy.account.region}; delete it by hand",
            details=tuple(left),
        )


def _conclude(rows: list[Row], cost: list[str], found: list[str], path: Path, *, as_json: bool) -> None:
    """Print the result; raise if a check failed."""
    rows = [*rows, Row("clean-up", "ok", "nothing is left: no stack, bucket, log, key or SageMaker resource")]
    document = {
        "checks": [row.as_dict() for row in rows],
        "cost": cost,
        "differences": found,
        "evidence": str(path),
    }
    failed = [row.subject for row in rows if row.verdict == "failed"]
    if as_json:
        if not failed:
            terminal.print_line(json.dumps(document, indent=1))
    else:
        screen = terminal.console()
        screen.print(show.verdicts(rows))
        for title, lines in (("What the run cost:", cost), ("For docs/fidelity.md:", found)):
            if lines:
                terminal.print_line(f"\n{title}")
                for line in lines:
                    terminal.print_line(line)
    if failed:
        raise UserError(f"the smoke test failed: {', '.join(failed)}", document=document)


@contextmanager
def _steps(*, quiet: bool) -> Iterator[StepLog]:
    mode: progress.Mode = "silent" if quiet else "live" if terminal.console().is_terminal else "lines"
    with progress.screen(mode) as screen:
        yield StepLog(screen.show)


def _say(line: str, *, quiet: bool) -> None:
    if not quiet:
        terminal.print_line(line)
