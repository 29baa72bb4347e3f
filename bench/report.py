"""Merges repeated measurements, compares them with the last ones, and writes docs/performance.md."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

Row = dict[str, Any]

BEGIN, END = "<!-- make bench: begin -->", "<!-- make bench: end -->"
HEADINGS = ("what", "rows", "seconds", "peak MB", "compared with", "its seconds", "its peak MB", "ratio", "noise")

_FIGURES = ("seconds", "reference_seconds", "ratio", "mb_per_s", "peak_rss_mb", "reference_peak_rss_mb")


def merged(runs: Sequence[Sequence[Row]], *, part: str) -> list[Row]:
    """Return the mean of each row over runs of the same part, with the noise: the spread divided by the mean."""
    by_name = [{row["name"]: row for row in rows} for rows in runs]
    found = []
    for first in runs[0]:
        same = [rows[first["name"]] for rows in by_name if first["name"] in rows]
        row = first | {name: mean(each[name] for each in same) for name in _FIGURES if first.get(name) is not None}
        judged = [_judged(each) for each in same]
        found.append(row | {"part": part, "noise": (max(judged) - min(judged)) / mean(judged)})
    return found


def worse(measured: Mapping[str, Row], before: Mapping[str, Row]) -> Iterator[str]:
    """Yield a sentence for each figure that has become worse by more than the noise of both measurements."""
    for name, row in measured.items():
        if name not in before:
            continue
        change = _judged(before[name]) / _judged(row) - 1  # how much more time it takes
        noise = (before[name]["noise"] or 0) + row["noise"]  # earlier versions measured some figures once
        if change > noise:
            yield f"{name}: worse by {change:.0%}, which is more than the noise of {noise:.0%}"


def _judged(row: Row) -> float:
    """Return what is compared: the ratio, which other work on the machine hardly affects, or else the speed."""
    ratio: float = row["ratio"] if row.get("ratio") is not None else 1 / row["seconds"]
    return ratio


def cells(row: Row) -> list[str]:
    """Return the cells of one row of the table."""
    return [
        row["name"],
        f"{row['rows']:,}",
        number(row["seconds"]),
        _whole(row.get("peak_rss_mb")),
        row.get("reference", ""),
        number(row.get("reference_seconds")),
        _whole(row.get("reference_peak_rss_mb")),
        number(row.get("ratio")),
        f"{row['noise']:.0%}",
    ]


def number(value: float | None) -> str:
    """Return a number with three significant digits, without an exponent."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{float(f'{value:.3g}'):.10g}"


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def write(document: Path, head: str, rows: Sequence[Row], failed: Sequence[str]) -> None:
    """Replace the part of a document between the markers by the results.

    Raises
    ------
    ValueError
        If the document lacks a marker.
    """
    text = document.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(f"{document.name} lacks the lines {BEGIN} and {END}")
    start, _, rest = text.partition(BEGIN)
    _, _, end = rest.partition(END)
    parts = [BEGIN, head, "", *_markdown(HEADINGS, map(cells, rows)), "", *_inference(rows)]
    if failed:
        parts += [f"Could not be measured this time: {', '.join(failed)}.", ""]
    document.write_text(start + "\n".join([*parts, END]) + end)


def _inference(rows: Iterable[Row]) -> list[str]:
    """Return the table of both settings of `inference`, side by side."""
    settings = [row["inference"] for row in rows if "inference" in row]
    if not settings:
        return []
    names = [name for name in settings[0] if name != "setting"]
    headings = ["", *(f"`inference: {each['setting']}`" for each in settings)]
    return [*_markdown(headings, ([name, *(f"{each[name]:,}" for each in settings)] for name in names)), ""]


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [headings, ["---", *["--:"] * (len(headings) - 1)], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
