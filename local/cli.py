# ruff: noqa: PLC0415 - commands import what they need, because --help must not wait for boto3 and NumPy
"""The command line, which runs the whole stack on this machine."""

import inspect
import json
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from local.errors import UserError, explain_unexpected
from local.program import MODULE, PROGRAM
from local.terminal import abandon_output, degrade_output, print_line

if TYPE_CHECKING:
    from local.results import RunFiles
    from local.session import Options

INTERRUPTED = 130
"""The exit code after Ctrl-C; a shell reports 128 plus the number of the signal."""
UP_PORT = 4566

app = typer.Typer(
    # A shell completes the arguments of a command by its name: `census` is a name, `python -m local` is not.
    add_completion=PROGRAM != MODULE,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=f"""
Turn a census CSV into labeled counties, on this machine, without an AWS account.

The stack that `npx cdk deploy` deploys into an account is deployed into an embedded AWS: the same template, functions,
state machine and permissions. The embedded AWS has its own implementation of SageMaker's PCA and k-means.

Start with `{PROGRAM} run`, which generates a synthetic census, runs it through the stack, and prints where the
results are.
""",
)
runs_app = typer.Typer(no_args_is_help=True, help="Inspect the runs of the embedded AWS that `up` started.")
app.add_typer(runs_app, name="runs")


Pace = Annotated[
    str,
    typer.Option(
        metavar="PACE",
        help="How long SageMaker takes: `recorded*0.01` for one hundredth of the times of a recorded run, or "
        "`training=2,hosting=5` in seconds. Default: a fraction of a second each.",
        rich_help_panel="The embedded AWS",
    ),
]
Faults = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        metavar="SPEC",
        help="A fault to inject, as `Operation[@name]:fault[=value][*times]`, such as `CreateEndpoint:throttle*3`. "
        "Can be repeated.",
        rich_help_panel="The embedded AWS",
    ),
]
Quotas = Annotated[
    list[str] | None,
    typer.Option(
        "--quota",
        metavar="USE=INSTANCES",
        help="A quota of the account, such as `training=1`, `hosting=2` or `hosting:ml.t2.medium=0`: the number of"
        " instances at a time, of all types or of one. Can be repeated.",
        rich_help_panel="The embedded AWS",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A setting of the stack that differs from cdk.json, such as `clusters=auto`. Can be repeated.",
        rich_help_panel="The embedded AWS",
    ),
]
Port = Annotated[
    int,
    typer.Option(
        min=0,
        max=65535,
        help="Port of 127.0.0.1 to listen on; 0 selects a free one.",
        rich_help_panel="The embedded AWS",
    ),
]
Profile = Annotated[str | None, typer.Option(help="The profile whose credentials to use.", metavar="NAME")]
Region = Annotated[str | None, typer.Option(help="The region of the stack; default: the region of the profile.")]
Context = Annotated[
    list[str] | None,
    typer.Option(
        "-c", "--context", metavar="KEY=VALUE", help="CDK context, as in `npx cdk deploy -c`. Can be repeated."
    ),
]
Embedded = Annotated[bool, typer.Option("--embedded", help="Use an embedded AWS instead of an account.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The id of a run, as `status` lists it.")]
FromRun = Annotated[str | None, typer.Option("--run", help="The run to use; default: the latest.")]
FromDir = Annotated[
    Path | None, typer.Option("--dir", help="A folder with the results of a run, such as `results/<run id>`.")
]


@app.command()
def run(  # noqa: PLR0917 - typer passes arguments by name
    csvs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[CSV]...",
            help="Census CSVs, which are run in this order as one series; default: a generated, synthetic census.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where to copy the result files, for several CSVs with a folder per run; default: `results/<run id>`."
        ),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Label the files after the first one by its model, without training.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only where the results are.")] = False,
    as_json: AsJson = False,
    pace: Pace = "",
    fault: Faults = None,
    quota: Quotas = None,
    settings: Settings = None,
    port: Port = 0,
) -> None:
    """Run CSVs through the stack and show their segments.

    Starts a separate embedded AWS, deploys the stack, uploads each CSV, follows its run, copies the results, checks
    that nothing is left in SageMaker, and stops everything. Ctrl-C also stops everything.

    **Examples**

    `python -m local run`

    `python -m local run census.csv --out out --set clusters=auto`

    `python -m local run acs2015.csv acs2017.csv --out both`

    `python -m local run acs2015.csv acs2017.csv --apply`

    `python -m local run --fault CreateEndpoint:throttle*3 --pace recorded*0.01`
    """
    from local.single_run import Output, run_csvs

    with _reporting_errors(as_json=as_json):
        options = _options(port, pace, [*(fault or ()), *map(_quota, quota or ())], settings)
        output: Output = "json" if as_json else "quiet" if quiet else "full"
        run_csvs(csvs or [], out, options, output=output, apply=apply)


@app.command()
def up(  # noqa: PLR0917 - typer passes arguments by name
    port: Port = UP_PORT,
    pace: Pace = "",
    fault: Faults = None,
    quota: Quotas = None,
    settings: Settings = None,
    detach: Annotated[
        bool | None,
        typer.Option(
            "--detach/--follow",
            "-d/-f",
            help="Return once it is running, or stay and report each run. Default: stay if the output is a terminal.",
        ),
    ] = None,
) -> None:
    """Keep the embedded AWS running, with the stack deployed in it.

    Prints the bucket to copy CSVs to, and writes `.local/env`; source that file, and any AWS client uses this AWS.
    On a terminal, the command stays and reports each run, and Ctrl-C stops everything. With `--detach`, or if the
    output is not a terminal, the command returns, and `python -m local down` stops the embedded AWS.

    **Example**

    `python -m local up --detach && . .local/env && aws s3 cp census.csv s3://BUCKET/incoming/`
    """
    from local.persistent import start_up

    with _reporting_errors():
        stay = sys.stdout.isatty() if detach is None else not detach
        faults = [*(fault or ()), *map(_quota, quota or ())]
        start_up(_options(port, pace, faults, settings), stay=stay)


@app.command()
def down() -> None:
    """Stop the embedded AWS that `up` started. Its contents are deleted; copied results stay."""
    from local.persistent import shut_down

    with _reporting_errors():
        print_line("stopped" if shut_down() else "nothing is running")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show whether the embedded AWS is running, and list its runs."""
    from local.persistent import print_status

    with _reporting_errors(as_json=as_json):
        print_status(as_json=as_json)


@runs_app.command("show")
def runs_show(run_id: RunId, as_json: AsJson = False) -> None:
    """Show the steps of a run and its segments, or why it failed."""
    from local.persistent import show_run

    with _reporting_errors(as_json=as_json):
        show_run(run_id, as_json=as_json)


@app.command()
def report(
    run_id: RunId,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Print the path of a run's report, copying it first if necessary; with `--open`, open it in the browser."""
    from local.persistent import results_of

    with _reporting_errors():
        path = (results_of(run_id).directory / "report.html").resolve()
        if not path.exists():
            raise UserError(f"{run_id} has no report because it did not succeed; see: {PROGRAM} runs show {run_id}")
        print_line(str(path))
        if open_it:
            typer.launch(path.as_uri())


@app.command()
def explain(
    county: Annotated[str, typer.Argument(metavar="COUNTY", help="`State-County`, or the region's id.")],
    run_id: FromRun = None,
    directory: FromDir = None,
) -> None:
    """Explain why a county is in its segment.

    **Example**

    `python -m local explain "California-San Francisco"`
    """
    from local.counties import explain_county

    with _reporting_errors():
        explain_county(_results(run_id, directory), county)


@app.command()
def compare(
    county: Annotated[str, typer.Argument(metavar="COUNTY", help="`State-County`, or the region's id.")],
    other: Annotated[str, typer.Argument(metavar="COUNTY", help="Another county.")],
    run_id: FromRun = None,
    directory: FromDir = None,
) -> None:
    """Compare two counties side by side.

    **Example**

    `python -m local compare "California-San Francisco" "Alabama-Autauga"`
    """
    from local.counties import compare_counties

    with _reporting_errors():
        compare_counties(_results(run_id, directory), county, other)


@app.command()
def changes(run_id: FromRun = None, directory: FromDir = None, as_json: AsJson = False) -> None:
    """Show what changed since the run before in the same folder of the bucket.

    **Example**

    `python -m local changes --dir results/acs2017-abc`
    """
    from local import show
    from local.terminal import console

    with _reporting_errors(as_json=as_json):
        found = _results(run_id, directory).changes
        if as_json:
            print_line(json.dumps(found, ensure_ascii=False))
        else:
            console().print(show.changes(found))


@app.command()
def preflight(  # noqa: PLR0917 - typer passes arguments by name
    profile: Profile = None,
    region: Region = None,
    context: Context = None,
    embedded: Embedded = False,
    fault: Faults = None,
    as_json: AsJson = False,
) -> None:
    """Check an AWS account before anything is deployed into it.

    Prints one table with a verdict and a remedy per row. Every request only reads. The exit code is 0 if nothing
    prevents the deployment.

    **Examples**

    `python -m local preflight --profile team --region eu-central-1 -c segmentation.stage=prod`

    `python -m local preflight --embedded --fault Endpoint:quota=ml.t2.medium/0`
    """
    from local.account_commands import run_preflight
    from local.session import Options

    with _reporting_errors(as_json=as_json):
        options = Options(faults=tuple(fault or ())) if embedded else None
        run_preflight(profile, region, _context(context), embedded=options, as_json=as_json)


@app.command()
def smoke(  # noqa: PLR0917 - typer passes arguments by name
    out: Annotated[Path, typer.Option(help="The folder for the evidence.")] = Path("evidence"),
    clean_up: Annotated[
        bool, typer.Option("--clean-up", help="Only delete what a smoke test that was killed has left.")
    ] = False,
    profile: Profile = None,
    region: Region = None,
    context: Context = None,
    embedded: Embedded = False,
    fault: Faults = None,
    as_json: AsJson = False,
) -> None:
    """Try a copy of the stack in an AWS account with one run, and delete the copy.

    Rehearses the synthetic census in an embedded AWS, deploys a copy of the stack called `census-seg-smoke` into the
    account, runs the same census, and compares the results. AWS's responses are written to `evidence/<date>.json`,
    and differences from the embedded AWS are printed. Ctrl-C deletes the copy, too.

    The run costs what docs/cost.md says and takes about half an hour.

    **Examples**

    `python -m local smoke --profile team --region eu-central-1`

    `python -m local smoke --embedded`
    """
    from local.session import Options
    from local.smoke import run_clean_up, run_smoke

    with _reporting_errors(as_json=as_json):
        if clean_up:
            run_clean_up(profile, region, _context(context))
            return
        options = Options(faults=tuple(fault or ())) if embedded else None
        run_smoke(profile, region, _context(context), embedded=options, out=out, as_json=as_json)


@app.command()
def destroy(  # noqa: PLR0917 - typer passes arguments by name
    stop: Annotated[bool, typer.Option("--stop", help="Stop the runs that are in progress.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Do not ask for confirmation.")] = False,
    profile: Profile = None,
    region: Region = None,
    context: Context = None,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Use the embedded AWS that `up` started instead of an account.")
    ] = False,
) -> None:
    """Delete the stack from an AWS account; buckets with data stay.

    Refuses while runs are in progress, because the janitor is deleted with the stack and nothing would delete their
    endpoints. With `--stop`, the runs are stopped. In both cases the janitor is called until SageMaker has nothing left
    with the stack's tags; only then does `npx cdk destroy` delete the stack.

    **Example**

    `python -m local destroy --stop --profile team -c segmentation.stage=prod`
    """
    from local.account_commands import run_destroy

    with _reporting_errors():
        run_destroy(profile, region, _context(context), stop=stop, force=force, embedded=embedded)


@app.command()
def sample(
    out: Annotated[Path, typer.Option(help="Where to write it.")] = Path("synthetic-census.csv"),
    rows: Annotated[
        int | None, typer.Option(min=1, help="Write this many generated tracts instead of the 3,220 counties.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers; the same seed gives the same file.")] = 2015,
) -> None:
    """Write a synthetic census: real county names, generated figures, eight planted segments.

    **Example**

    `python -m local sample --rows 1000000 --out tracts.csv`
    """
    from local import synthetic_census

    with _reporting_errors():
        try:
            synthetic_census.write(out, rows=rows, seed=seed)
        except OSError as error:
            raise UserError(f"cannot write {out}: {error.strerror or error}") from error
        print_line(f"{out}: {synthetic_census.NOTE}")


def main() -> None:
    """Run the command line.

    SIGTERM and SIGHUP, which a closed terminal sends, stop it as Ctrl-C does, with everything that it started.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP, so that the command goes on
            signal.signal(number, _terminate)
    degrade_output()
    for command in (*app.registered_commands, *runs_app.registered_commands):
        command.help = (inspect.getdoc(command.callback) or "").replace(MODULE, PROGRAM)
    try:
        app(prog_name=PROGRAM)
    finally:
        try:
            sys.stdout.flush()
        except OSError:
            abandon_output()


class _Terminated(KeyboardInterrupt):
    """A signal asked the process to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    raise _Terminated(number)


@contextmanager
def _reporting_errors(*, as_json: bool = False) -> Iterator[None]:
    """Report an error as one line and an exit code instead of a traceback."""
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        code = interrupt.exit_code if isinstance(interrupt, _Terminated) else INTERRUPTED
        error = UserError("interrupted; nothing that this command started is left running", exit_code=code)
    except UserError as user_error:
        error = user_error
    except typer.Exit:
        raise
    except Exception as unexpected:
        error = explain_unexpected(unexpected)
    else:
        return
    with suppress(OSError):  # the terminal may be gone
        _print_error(error, as_json=as_json)
    raise typer.Exit(error.exit_code)


def _print_error(error: UserError, *, as_json: bool) -> None:
    for line in (f"error: {error}", *(f"  {detail}" for detail in error.details)):
        print_line(line, stderr=True)
    if as_json:
        print_line(json.dumps(error.document or {"status": "ERROR", "error": {"message": str(error)}}))


def _options(port: int, pace: str, faults: list[str], settings: list[str] | None) -> "Options":
    """Return the options, after checking those that can be checked before anything is started."""
    from embedded_aws.sagemaker.pace import Pace as ParsedPace
    from local.session import Options

    try:
        ParsedPace.parse(pace)
    except ValueError as error:
        raise UserError(f"--pace: {error}") from error
    return Options(port, pace, tuple(faults), dict(_setting(item) for item in settings or ()))


def _quota(text: str) -> str:
    """Return the fault that enforces a quota such as ``training=1`` or ``hosting:ml.t2.medium=0``."""
    kinds = {"training": "TrainingJob", "hosting": "Endpoint"}
    found = re.fullmatch(r"(training|hosting)(?::(ml\.[a-z0-9.-]+))?=(\d+)", text)
    if found is None:
        raise UserError(f"--quota {text!r} is not understood; write training=1, hosting=2 or hosting:ml.t2.medium=0")
    use, instance_type, instances = found.groups()
    return f"{kinds[use]}:quota={f'{instance_type}/' if instance_type else ''}{instances}"


def _setting(text: str) -> tuple[str, Any]:
    """Parse ``key=value``, where the value is JSON or else a string."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise UserError(f"--set {text!r} is not understood; write key=value, such as clusters=10")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _context(items: list[str] | None) -> dict[str, str]:
    """Parse the values of `-c`."""
    pairs = [item.partition("=") for item in items or ()]
    for key, separator, _value in pairs:
        if not separator or not key:
            raise UserError(f"-c {key!r} is not understood; write key=value, such as segmentation.stage=prod")
    return {key: value for key, _separator, value in pairs}


def _results(run_id: str | None, directory: Path | None) -> "RunFiles":
    """Return the results that `--run` or `--dir` names, or the latest."""
    from local.persistent import latest_results, results_of
    from local.results import RunFiles

    if directory is not None:
        return RunFiles(directory)
    return latest_results() if run_id is None else results_of(run_id)
