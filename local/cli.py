# ruff: noqa: PLC0415 - commands import what they need: --help must not wait for boto3 and pandas
"""The command line: the whole stack on this machine, from a census CSV to labeled counties."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from local.errors import Trouble, unforeseen

if TYPE_CHECKING:
    from local.results import RunFiles
    from local.session import Options

INTERRUPTED = 130
TERMINATED = 143
UP_PORT = 4566
COMMAND_VARIABLE = "CENSUS_COMMAND"

app = typer.Typer(
    # A shell completes a command by its name, and "python -m local" isn't one: bin/census is.
    add_completion=COMMAND_VARIABLE in os.environ,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""
Turn a census CSV into labeled counties, on this machine, with no AWS account.

The stack that `npx cdk deploy` puts into an account is deployed into an embedded AWS here: the same template, Lambdas,
state machine and permissions. SageMaker's PCA and k-means are stood in for by twins.

Start with `python -m local run`: it makes up a synthetic census, runs it through everything, and says where the
results are.
""",
)
runs_app = typer.Typer(no_args_is_help=True, help="Look into the runs of the embedded AWS that `up` started.")
app.add_typer(runs_app, name="runs")


Pace = Annotated[
    str,
    typer.Option(
        metavar="PACE",
        help="How long SageMaker takes: `recorded*0.01` for a recorded run's times in a hundredth of the time, or "
        "`training=2,hosting=5` in seconds. Default: a fraction of a second each.",
        rich_help_panel="The embedded AWS",
    ),
]
Faults = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        metavar="SPEC",
        help="What goes wrong, as `Operation[@name]:fault[=value][*times]`, such as `CreateEndpoint:throttle*3`. "
        "Can be repeated.",
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
        min=0, max=65535, help="Port of 127.0.0.1 to listen on; 0 takes a free one.", rich_help_panel="The embedded AWS"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, as `status` lists it.")]
FromRun = Annotated[str | None, typer.Option("--run", help="The run to look into; default: the latest.")]
FromDir = Annotated[
    Path | None, typer.Option("--dir", help="A folder with a run's results, such as `results/<run id>`.")
]


@app.command()
def run(  # noqa: PLR0917 - typer passes them by name
    csv: Annotated[
        Path | None, typer.Argument(metavar="[CSV]", help="A census CSV; default: a synthetic census is made up.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to copy the result files; default: `results/<run id>`.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only where the results are.")] = False,
    as_json: AsJson = False,
    pace: Pace = "",
    fault: Faults = None,
    settings: Settings = None,
    port: Port = 0,
) -> None:
    """Run one CSV through the stack and show its segments.

    Starts an embedded AWS of its own, deploys the stack, uploads the CSV, follows the run, copies the results, makes
    sure that nothing is left in SageMaker, and stops everything. Ctrl-C stops it too, and leaves nothing running.

    **Examples**

    `python -m local run`

    `python -m local run census.csv --out out --set clusters=auto`

    `python -m local run --fault CreateEndpoint:throttle*3 --pace recorded*0.01`
    """
    from local.rehearsal import rehearse

    with _telling(as_json=as_json):
        options = _options(port, pace, fault, settings)
        rehearse(csv, out, options, telling="json" if as_json else "quiet" if quiet else "full")


@app.command()
def up(
    port: Port = UP_PORT,
    pace: Pace = "",
    fault: Faults = None,
    settings: Settings = None,
    detach: Annotated[
        bool | None,
        typer.Option(
            "--detach/--follow",
            "-d/-f",
            help="Return once it is up, or stay and tell of each run. Default: stay on a terminal.",
        ),
    ] = None,
) -> None:
    """Keep the embedded AWS running, with the stack deployed in it.

    Prints the bucket to copy CSVs into, and writes `.local/env`: source it, and any AWS client talks to this AWS.
    On a terminal it stays and tells of each run as CSVs arrive, and Ctrl-C stops everything. With `--detach`, or
    where the output isn't a terminal, it returns, and `python -m local down` stops it.

    **Example**

    `python -m local up --detach && . .local/env && aws s3 cp census.csv s3://BUCKET/incoming/`
    """
    from local.running_cloud import bring_up

    with _telling():
        stay = sys.stdout.isatty() if detach is None else not detach
        bring_up(_options(port, pace, fault, settings), stay=stay)


@app.command()
def down() -> None:
    """Stop the embedded AWS that `up` started. Everything in it is gone; results that were copied stay."""
    from local.running_cloud import take_down

    with _telling():
        typer.echo("stopped" if take_down() else "nothing is running")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say whether the embedded AWS is up, and list its runs."""
    from local.running_cloud import tell_status

    with _telling(as_json=as_json):
        tell_status(as_json=as_json)


@runs_app.command("show")
def runs_show(run_id: RunId, as_json: AsJson = False) -> None:
    """Show one run: its steps, its segments, or why it failed."""
    from local.running_cloud import show_run

    with _telling(as_json=as_json):
        show_run(run_id, as_json=as_json)


@app.command()
def report(
    run_id: RunId,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Say where a run's report is, fetching it first if need be; with `--open`, open it in the browser."""
    from local.running_cloud import results_of

    with _telling():
        path = (results_of(run_id).directory / "report.html").resolve()
        if not path.exists():
            raise Trouble(f"{run_id} has no report: it hasn't succeeded (python -m local runs show {run_id})")
        typer.echo(path)
        if open_it:
            typer.launch(path.as_uri())


@app.command()
def explain(
    county: Annotated[str, typer.Argument(metavar="COUNTY", help="`State-County`, or the region's id.")],
    run_id: FromRun = None,
    directory: FromDir = None,
) -> None:
    """Say why a county is in its segment.

    **Example**

    `python -m local explain "California-San Francisco"`
    """
    from local.explanations import explain_county

    with _telling():
        explain_county(_results(run_id, directory), county)


@app.command()
def compare(
    county: Annotated[str, typer.Argument(metavar="COUNTY", help="`State-County`, or the region's id.")],
    other: Annotated[str, typer.Argument(metavar="COUNTY", help="Another.")],
    run_id: FromRun = None,
    directory: FromDir = None,
) -> None:
    """Lay two counties side by side.

    **Example**

    `python -m local compare "California-San Francisco" "Alabama-Autauga"`
    """
    from local.explanations import compare_counties

    with _telling():
        compare_counties(_results(run_id, directory), county, other)


@app.command()
def sample(
    out: Annotated[Path, typer.Option(help="Where to write it.")] = Path("synthetic-census.csv"),
    rows: Annotated[
        int | None, typer.Option(min=1, help="This many invented tracts instead of the 3,220 counties.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same file.")] = 2015,
) -> None:
    """Write a synthetic census: real county names, invented figures, eight planted segments.

    **Example**

    `python -m local sample --rows 1000000 --out tracts.csv`
    """
    from local import synthetic_census as synthetic

    with _telling():
        try:
            synthetic.write(out, rows=rows, seed=seed)
        except OSError as error:
            raise Trouble(f"can't write {out}: {error.strerror or error}") from error
        typer.echo(f"{out}: {synthetic.NOTE}")


def main() -> None:
    """Run the command line; SIGTERM stops it as Ctrl-C does, with everything that it started."""
    signal.signal(signal.SIGTERM, _terminate)
    app(prog_name=os.environ.get(COMMAND_VARIABLE, "python -m local"))


class _Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _Terminated


@contextmanager
def _telling(*, as_json: bool = False) -> Iterator[None]:
    """Tell of trouble in one line and an exit code, never in a traceback."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        _fail(Trouble("interrupted; nothing that this command started is left running"), as_json=as_json)
        raise typer.Exit(TERMINATED if isinstance(interrupt, _Terminated) else INTERRUPTED) from None
    except Trouble as trouble:
        _fail(trouble, as_json=as_json)
        raise typer.Exit(trouble.exit_code) from None
    except typer.Exit:
        raise
    except Exception as error:
        surprise = unforeseen(error)
        _fail(surprise, as_json=as_json)
        raise typer.Exit(surprise.exit_code) from None


def _fail(trouble: Trouble, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(trouble.document or {"status": "ERROR", "error": {"message": str(trouble)}}))
    typer.echo(f"error: {trouble}", err=True)
    for line in trouble.details:
        typer.echo(f"  {line}", err=True)


def _options(port: int, pace: str, faults: list[str] | None, settings: list[str] | None) -> "Options":
    """Check what can be checked before anything is started."""
    from embedded_aws.sagemaker.pace import Pace as TwinPace
    from local.session import Options

    try:
        TwinPace.parse(pace)
    except ValueError as error:
        raise Trouble(f"--pace: {error}") from error
    return Options(port, pace, tuple(faults or ()), dict(_setting(item) for item in settings or ()))


def _setting(text: str) -> tuple[str, Any]:
    """Read ``key=value``; the value is JSON, or else a string."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise Trouble(f"--set {text!r} is not understood; write key=value, such as clusters=10")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _results(run_id: str | None, directory: Path | None) -> "RunFiles":
    """Find the results that `--run` and `--dir` name, or the latest."""
    from local.results import RunFiles
    from local.running_cloud import latest_results, results_of

    if directory is not None:
        return RunFiles(directory)
    return latest_results() if run_id is None else results_of(run_id)
