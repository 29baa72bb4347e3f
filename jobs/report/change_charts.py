"""The charts of the report's section on what changed; see `jobs.report.charts` for the principles."""

from collections import Counter
from collections.abc import Sequence

import altair as alt
from altair.utils.schemapi import debug_mode

from jobs.report.charts import INK, PAPER, AnyChart, Spec, data, on_map, segment_scale, to_specs
from jobs.series.history import HistoryEntry

SHOWN_RUNS = 20
_HEIGHT, _TEXT = 280, 14  # pixels: of the chart of sizes, and of a line of text


def change_specifications(
    runs: Sequence[HistoryEntry], *, with_movers: bool, validate: bool = False
) -> dict[str, Spec]:
    """Build the charts of the section, by name.

    Parameters
    ----------
    runs
        The runs of the series, oldest first, with this run as the last one; fewer than two give no chart.
    with_movers
        Whether there is a map of movers.
    validate
        As in `jobs.report.charts.specifications`.
    """
    charts = {}
    with debug_mode(validate):
        if with_movers:
            charts["movers"] = _movers()
        if len(runs) > 1:
            charts["series"] = _series(runs[-SHOWN_RUNS:])
        return to_specs(charts, validate=validate)


def _movers() -> AnyChart:
    """Draw the movers; data: shapes with `name`, `kind`, `before`, `now`, `certainty` and `fill`."""
    movers = (
        data("movers")
        .mark_geoshape(stroke=PAPER, strokeWidth=0.3)
        .encode(
            color=alt.Color("fill:N", scale=None),
            tooltip=[
                alt.Tooltip("name:N", title="County"),
                alt.Tooltip("kind:N", title="What changed"),
                alt.Tooltip("before:N", title="Before"),
                alt.Tooltip("now:N", title="Now"),
                alt.Tooltip("certainty:N", title="Certainty"),
            ],
            description=alt.Description("name:N"),
        )
    )
    return on_map(movers, "Map of the counties in another segment than in the previous run, by what changed")


def _series(runs: Sequence[HistoryEntry]) -> AnyChart:
    """Draw a line of sizes per segment, with the segment's number at its end."""
    names = run_names(runs)
    numbers = {segment["number"] for run in runs for segment in run["segments"]}
    values = [
        {
            "run": name,
            "number": segment["number"],
            "segment": f"{segment['number']}: {segment['name']}",
            "size": segment["size"],
            "share": segment["size"] / run["rows"],
        }
        for name, run in zip(names, runs, strict=True)
        for segment in run["segments"]
    ]
    largest = max(segment["size"] for run in runs for segment in run["segments"])
    base = alt.Chart(alt.InlineData(values)).encode(
        x=alt.X("run:O", title=None, sort=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
        y=alt.Y("size:Q", title="Rows", scale=alt.Scale(domain=[0, largest], nice=False), axis=alt.Axis(tickCount=5)),
        color=alt.Color("number:N", scale=segment_scale(numbers), legend=None),
    )
    lines = base.mark_line(strokeWidth=2).encode(detail=alt.Detail("number:N"))
    points = base.mark_point(filled=True, opacity=1, size=40).encode(
        tooltip=[
            alt.Tooltip("run:N", title="Run"),
            alt.Tooltip("segment:N", title="Segment"),
            alt.Tooltip("size:Q", title="Rows", format=","),
            alt.Tooltip("share:Q", title="Share", format=".1%"),
        ]
    )
    sizes = {segment["number"]: segment["size"] for segment in runs[-1]["segments"]}
    places = spread(list(sizes.values()), gap=largest * _TEXT / _HEIGHT)
    ends = [{"run": names[-1], "number": number, "at": at} for number, at in zip(sizes, places, strict=True)]
    words = (
        alt.Chart(alt.InlineData(ends))
        .mark_text(align="left", dx=9, color=INK, aria=False)
        .encode(x=alt.X("run:O", sort=None), y=alt.Y("at:Q"), text=alt.Text("number:N"))
    )
    return alt.layer(lines, points, words).properties(
        width="container",
        height=_HEIGHT,
        description=f"Number of rows in each segment over the last {len(runs)} runs of the series",
    )


def run_names(runs: Sequence[HistoryEntry]) -> list[str]:
    """Return a short name of each run: the year of its file, counted if several runs have it, else its place.

    >>> run_names([{"vintage": 2015}, {"vintage": 2017}, {"vintage": 2017}, {"vintage": None}])
    ['2015', '2017', '2017 (2)', 'run 4']
    """
    seen: Counter[int] = Counter()
    names = []
    for place, run in enumerate(runs, start=1):
        year = run["vintage"]
        if year is None:
            names.append(f"run {place}")
            continue
        seen[year] += 1
        names.append(str(year) if seen[year] == 1 else f"{year} ({seen[year]})")
    return names


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Return places near the values, in their order, that are at least `gap` apart and not below zero.

    >>> spread([10.0, 2.0, 10.5], gap=2.0)
    [10.0, 2.0, 12.0]
    """
    places = [0.0] * len(values)
    lowest = 0.0
    for index in sorted(range(len(values)), key=lambda each: values[each]):
        places[index] = max(values[index], lowest)
        lowest = places[index] + gap
    return places
