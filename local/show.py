"""What the command line shows: steps as they happen, and results as tables."""

import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from local.follow import Step

if TYPE_CHECKING:
    from jobs.census.scaler import DroppedRegion
    from jobs.segments.document import SegmentsDocument
    from jobs.segments.explain import CountyComparison, Explanation

Mode = Literal["live", "lines", "silent"]

__all__ = [
    "Mode", "RenderableType", "Screen", "comparison", "console", "explanation", "notes", "paths", "run_table",
    "screen", "segment_table", "step_table", "timing", "warnings",
]  # fmt: skip

_PLAIN_WIDTH: Final = 120
_SETTLED_SECONDS: Final = 0.3
_MARKS: Final = {"done": Text("✓", "green"), "failed": Text("✗", "red")}
_DROPPED_SHOWN: Final = 5


def console(*, stderr: bool = False) -> Console:
    """Return a console that is wide enough where it isn't a terminal, and honours NO_COLOR."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else _PLAIN_WIDTH, soft_wrap=False)


class Screen(Protocol):
    """Shows steps while a command works; a context that ends when the command has its answer."""

    def show(self, steps: Sequence[Step]) -> None:
        """Show these steps from now on."""

    def __enter__(self) -> "Screen": ...

    def __exit__(self, *_: object) -> None: ...


def screen(mode: Mode) -> Screen:
    """Return the screen of a mode: a table that moves, plain lines, or nothing at all."""
    if mode == "live":
        return LiveScreen()
    return LineScreen() if mode == "lines" else SilentScreen()


class SilentScreen:
    """Shows nothing."""

    def show(self, steps: Sequence[Step]) -> None:
        """Show nothing of the steps."""

    def __enter__(self) -> "SilentScreen":
        return self

    def __exit__(self, *_: object) -> None:
        return None


class LiveScreen:
    """A table of steps on a terminal, whose running ones count their seconds."""

    def __init__(self) -> None:
        self._steps: Sequence[Step] = ()
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(get_renderable=self._table, console=console(), refresh_per_second=8)

    def show(self, steps: Sequence[Step]) -> None:
        """Show these steps from now on."""
        self._steps = list(steps)

    def __enter__(self) -> "LiveScreen":
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)

    def _table(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        table.add_column()
        table.add_column(min_width=18)
        table.add_column(justify="right", min_width=8)
        table.add_column(style="dim")
        for step in self._steps:
            mark = self._spinner if step.outcome == "running" else _MARKS[step.outcome]
            table.add_row(mark, step.name, f"{step.seconds():.1f} s", _remark(step))
        return table


class LineScreen:
    """A line when a step begins and one when it ends, for logs and pipes."""

    def __init__(self) -> None:
        self._console = console()
        self._began = time.time()
        self._told: dict[str, str] = {}
        self._steps: Sequence[Step] = ()
        self._lock = threading.Lock()

    def show(self, steps: Sequence[Step]) -> None:
        """Print what is new in these steps."""
        with self._lock:
            self._steps = list(steps)
            self._print(settled_before=time.time() - _SETTLED_SECONDS)

    def __enter__(self) -> "LineScreen":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._print(settled_before=float("inf"))

    def _print(self, settled_before: float) -> None:
        """Print changes in order; a step that has only just ended may go on, as one does between two polls."""
        lines: list[tuple[float, str]] = []
        begun_last = max((step.started for step in self._steps), default=0.0)
        for step in self._steps:
            if step.name not in self._told:
                lines.append((step.started, f"{step.name}: waiting for {step.waiting_for}"))
                self._told[step.name] = "running"
            over = step.ended is not None and step.ended <= max(settled_before, begun_last)
            if over and self._told[step.name] != step.outcome:
                note = f" ({step.note})" if step.failed and step.note else ""
                said = f"{step.name}: {step.outcome} in {step.seconds():.1f} s{note}"
                lines.append((step.ended or 0.0, said))
                self._told[step.name] = step.outcome
        for moment, text in sorted(lines, key=lambda line: line[0]):
            self._say(moment, text)

    def _say(self, moment: float, text: str) -> None:
        self._console.print(f"[{max(0.0, moment - self._began):6.1f} s] {text}", markup=False)


def _remark(step: Step) -> str:
    if step.outcome == "running":
        return f"waiting for {step.waiting_for}" + (f" ({step.note})" if step.note else "")
    return step.note if step.failed else ""


def segment_table(segments: "SegmentsDocument") -> RenderableType:
    """Return the segments of a run as a table, the largest first.

    Parameters
    ----------
    segments
        The content of segments.json.
    """
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Segment", justify="right")
    table.add_column("Rows", justify="right")
    table.add_column("People", justify="right")
    table.add_column("Name", ratio=3)
    table.add_column("Most typical", ratio=2, style="dim")
    for segment in sorted(segments["segments"], key=lambda item: item["size"], reverse=True):
        people = segment.get("population")
        table.add_row(
            str(segment["label"]),
            f"{segment['size']:,}",
            "" if people is None else f"{people:,.0f}",
            Text(segment["name"]),
            Text(", ".join(segment["representatives"][:2])),
        )
    rows, pca = segments["rows"], segments["pca"]
    kept = pca["components_kept"]
    summary = (
        f"{rows['labeled']:,} of {rows['read']:,} rows labeled · {kept} of {pca['num_components']} components kept, "
        f"explaining {pca['explained_variance'][kept - 1]:.1%} of the variance"
    )
    return Group(table, Text(), Text(summary))


def warnings(segments: "SegmentsDocument") -> list[str]:
    """Say what of the CSV isn't in the result: rows that lack a figure, columns that never change.

    Parameters
    ----------
    segments
        The content of segments.json.
    """
    said = []
    if dropped := segments["rows"]["dropped"]:
        regions = segments["dropped_regions"]
        named = "; ".join(_dropped(region) for region in regions[:_DROPPED_SHOWN])
        more = f"; and {dropped - _DROPPED_SHOWN:,} more" if dropped > _DROPPED_SHOWN else ""
        rows = "1 row was" if dropped == 1 else f"{dropped:,} rows were"
        said.append(f"{rows} left out for empty cells: {named}{more}")
    if constant := segments.get("constant_features"):
        names = ", ".join(f"{feature['name']} (always {feature['value']:g})" for feature in constant)
        said.append(f"columns that never change, kept out of the model: {names}")
    return said


def notes(screen: Console, said: Iterable[str]) -> None:
    """Print what a reader of a result should know, one a line."""
    for note in said:
        screen.print(Text.assemble(("note ", "yellow"), note))


def _dropped(region: "DroppedRegion") -> str:
    return f"{region['name']} ({', '.join(region['empty_columns'])})"


def run_table(runs: Iterable[Mapping[str, Any]]) -> RenderableType:
    """Return executions as a table, in the order given."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("Run", "Status", "Started", "Seconds"):
        table.add_column(column, justify="right" if column == "Seconds" else "left")
    for run in runs:
        stopped: datetime | None = run.get("stopDate")
        started: datetime = run["startDate"]
        seconds = ((stopped or datetime.now(started.tzinfo)) - started).total_seconds()
        style = {"SUCCEEDED": "green", "RUNNING": "cyan"}.get(run["status"], "red")
        table.add_row(
            run["name"],
            Text(run["status"].lower(), style),
            started.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            f"{seconds:.1f}",
        )
    return table


def step_table(steps: Iterable[Step]) -> RenderableType:
    """Return the steps of a run as a table."""
    table = Table.grid(padding=(0, 2))
    for step in steps:
        mark = _MARKS.get(step.outcome, Text("…", "cyan"))
        table.add_row(mark, step.name, Text(f"{step.seconds():.1f} s", justify="right"), _remark(step))
    return table


def explanation(found: "Explanation") -> RenderableType:
    """Return why a county is in its segment."""
    county = found.county
    nearest = (
        f"{found.distance:.3f} from its centroid; the runner-up, segment {found.runner_up} "
        f"({found.runner_up_name}), is {found.runner_up_distance:.3f} away"
    )
    return Group(
        Text(f"{county.name} ({county.id}) is in segment {county.label}: {found.segment}", "bold"),
        Text(f"It is {nearest}.\n"),
        Text("What sets the segment apart, and how the county has it:"),
        *(Text(f"  {trait.text}") for trait in found.traits),
        Text("\nWhere it differs most from its segment:"),
        *(Text(f"  {departure.text}") for departure in found.departures),
    )


def comparison(found: "CountyComparison") -> RenderableType:
    """Return two counties side by side, what differs most first."""
    one, other = found.one, found.other
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for heading in (one.name, other.name, "All", "Apart"):
        table.add_column(heading, justify="right")
    for difference in found.differences:
        table.add_row(
            difference.label,
            *(_number(value) for value in (difference.one, difference.other, difference.all)),
            f"{difference.apart:+.1f} SD",
        )
    return Group(
        Text(f"{one.name}: segment {one.label}, {found.one_segment}"),
        Text(f"{other.name}: segment {other.label}, {found.other_segment}"),
        Text(f"They are {found.distance:.3f} apart in the components that segments are made from.\n"),
        table,
        Text("\nSD: standard deviations over all rows", "dim"),
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.1f}"


def paths(files: Iterable[Path]) -> RenderableType:
    """Return where files are, one a line."""
    return Text("\n".join(f"  {path}" for path in files))


def timing(seconds: Mapping[str, float]) -> str:
    """Say where the time went, in one line."""
    parts = " · ".join(f"{name} {value:.1f} s" for name, value in seconds.items() if name != "total")
    return f"{seconds['total']:.1f} s in all: {parts}"
