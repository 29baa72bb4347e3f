"""Formats results of runs as tables and lines of text.

Text from a census is passed on as plain strings, which :func:`local.terminal.console` escapes.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group, RenderableType
from rich.styled import Styled
from rich.table import Table
from rich.text import Text

from local.progress import MARKS, remark
from local.steps import WAITING_FOR_ROOM, Step

if TYPE_CHECKING:
    from rich.console import Console

    from jobs.census.scaler import DroppedRegion
    from jobs.segments.document import SegmentsDocument
    from jobs.segments.explain import CountyComparison, Explanation
    from local.preflight import Row

__all__ = [
    "RenderableType", "changes", "comparison", "explanation", "paths", "print_notes", "run_table", "segment_table",
    "step_table", "timing", "verdicts", "warnings",
]  # fmt: skip

_DROPPED_SHOWN: Final = 5
_MOVERS: Final = 10
_VERDICTS: Final = {"ok": "green", "warning": "yellow", "failed": "red"}
_CAUSES: Final = {"place": "the place", "model": "the model", None: "not known"}


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
            segment["name"],
            ", ".join(segment["representatives"][:2]),
        )
    rows, pca = segments["rows"], segments["pca"]
    kept = pca["components_kept"]
    summary = (
        f"{rows['labeled']:,} of {rows['read']:,} rows labeled · {kept} of {pca['num_components']} components kept, "
        f"explaining {pca['explained_variance'][kept - 1]:.1%} of the variance"
    )
    return Group(table, "", summary)


def warnings(segments: "SegmentsDocument") -> list[str]:
    """Return warnings about the result: dropped rows, constant columns, another k that is more stable.

    Parameters
    ----------
    segments
        The content of segments.json.
    """
    from jobs.segments.certainty import steadier_sentence  # noqa: PLC0415 - imports numpy, which few commands need

    lines = []
    if dropped := segments["rows"]["dropped"]:
        regions = segments["dropped_regions"]
        named = "; ".join(_dropped(region) for region in regions[:_DROPPED_SHOWN])
        more = f"; and {dropped - _DROPPED_SHOWN:,} more" if dropped > _DROPPED_SHOWN else ""
        rows = "1 row was" if dropped == 1 else f"{dropped:,} rows were"
        lines.append(f"{rows} left out because of empty cells: {named}{more}")
    if constant := segments.get("constant_features"):
        names = ", ".join(f"{feature['name']} (always {feature['value']:g})" for feature in constant)
        lines.append(f"columns with a single value were left out of the model: {names}")
    if sentence := steadier_sentence(segments["kmeans"]):
        lines.append(sentence)
    return lines


def print_notes(console: "Console", lines: Iterable[str]) -> None:
    """Print notes, one per line."""
    for note in lines:
        console.print(Text("note", "yellow"), note)


def _dropped(region: "DroppedRegion") -> str:
    return f"{region['name']} ({', '.join(region['empty_columns'])})"


def run_table(runs: Iterable[Mapping[str, Any]], waiting: Collection[str] = ()) -> RenderableType:
    """Return executions as a table, in the order given; those named in `waiting` wait for room under a quota."""
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
            Text(WAITING_FOR_ROOM, "yellow") if run["name"] in waiting else Text(run["status"].lower(), style),
            started.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            f"{seconds:.1f}",
        )
    return table


def step_table(steps: Iterable[Step]) -> RenderableType:
    """Return the steps of a run as a table."""
    table = Table.grid(padding=(0, 2))
    for step in steps:
        mark = MARKS.get(step.outcome, Text("…", "cyan"))
        table.add_row(mark, step.name, Text(f"{step.seconds():.1f} s", justify="right"), remark(step))
    return table


def explanation(found: "Explanation") -> RenderableType:
    """Return why a county is in its segment, how certain that is, and what would have to differ."""
    from jobs.segments.certainty import CLASSES, classify  # noqa: PLC0415 - imports numpy, which few commands need

    county = found.county
    nearest = (
        f"{found.distance:.3f} from its centroid; the runner-up, segment {found.runner_up} "
        f"({found.runner_up_name}), is {found.runner_up_distance:.3f} away"
    )
    return Group(
        Styled(f"{county.name} ({county.id}) is in segment {county.label}: {found.segment}", "bold"),
        f"It is {nearest}.",
        f"How certain: {CLASSES[classify([found.stability])[0]].name.lower()}. It keeps this segment in"
        f" {found.stability:.0%} of the refits on redrawn rows.\n",
        "What sets the segment apart, and the county's values:",
        *(f"  {trait.text}" for trait in found.traits),
        "\nWhere it differs most from its segment:",
        *(f"  {departure.text}" for departure in found.departures),
        f"\nWhat would have to differ to put it on the border with segment {found.runner_up}, each on its own:",
        *([f"  {switch.text}" for switch in found.switches] or ["  no single feature is enough"]),
    )


def comparison(found: "CountyComparison") -> RenderableType:
    """Return two counties side by side, the largest differences first."""
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
        f"{one.name}: segment {one.label}, {found.one_segment}",
        f"{other.name}: segment {other.label}, {found.other_segment}",
        f"They are {found.distance:.3f} apart in the components that segments are made from.\n",
        table,
        Text("\nSD: standard deviations over all rows", "dim"),
    )


def changes(found: Mapping[str, Any]) -> RenderableType:
    """Return the changes since the previous run: the verdict, and the counties that moved most certainly."""
    if found["reason"] is not None:
        return str(found["reason"])
    names = {segment["number"]: segment["name"] for segment in found["segments"]}
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("Moved", "Before", "Now", "What changed"):
        table.add_column(heading)
    for mover in found["movers"][:_MOVERS]:
        table.add_row(
            Text(mover["name"]), Text(names[mover["before"]]), Text(names[mover["now"]]), _CAUSES[mover["cause"]]
        )
    lines: list[RenderableType] = [Styled(Text(found["verdict"]), "bold")]
    lines += [Text(sentence) for sentence in (*found["warnings"], *found["columns"]["meaning"])]
    if found["movers"]:
        lines += [Text(""), table]
    return Group(*lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.1f}"


def paths(files: Iterable[Path]) -> RenderableType:
    """Return the paths of files, one per line."""
    return "\n".join(f"  {path}" for path in files)


def timing(seconds: Mapping[str, float]) -> str:
    """Return the time that each part took, in one line."""
    parts = " · ".join(f"{name} {value:.1f} s" for name, value in seconds.items() if name != "total")
    return f"{seconds['total']:.1f} s in total: {parts}"


def verdicts(rows: Iterable["Row"]) -> RenderableType:
    """Return the rows of checks as a table."""
    table = Table("check", "verdict", "found", "remedy", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row.subject, Text(row.verdict, _VERDICTS[row.verdict]), row.finding, row.remedy)
    return table
