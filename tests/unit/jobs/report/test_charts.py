"""What a reader finds in the charts: their words, and fields and formats that Vega-Lite's schema does not check."""

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pandas as pd
import pytest

from jobs.report import render
from jobs.report.change_charts import change_specifications
from jobs.report.charts import specifications
from jobs.series.history import HistoryEntry, SegmentEntry
from local import synthetic_census
from tests.census_run import Run, report_of, segment_table
from tests.unit.jobs.report.test_report import Page

WORDS = {
    "variance": {"Components", "Components kept", "Variance explained"},
    "silhouettes": {"Mean silhouette", "Segment"},
    "sizes": {"Rows", "Segment", "Share"},
    "makeup": {"Feature", "Weight"},
    "components": {"Center", "Component", "Rounded", "Segment"},
    "features": {
        "Center, mapped back",
        "Feature",
        "Mean of all",
        "Mean of the segment",
        "Segment",
        "Standard deviations from the mean of all",
    },
    "histogram": {"From", "Rows", "Segment", "to"},
    "elbow": {"Clusters", "Clusters (k)", "Mean distance", "Mean distance to centroid"},
    "steadiness": {"Clusters", "Clusters (k)", "Measure", "Value"},
    "map": {"County", "Distance", "Runner-up", "Segment", "Stability"},
    "movers": {"Before", "Certainty", "County", "Now", "What changed"},
    "series": {"Rows", "Run", "Segment", "Share"},
}
# A part of https://d3js.org/d3-format#locale_format
FORMAT = re.compile(r"\+?,?(\.\d+)?~?[%fgs]?")

OPACITIES = ("opacity", "fillOpacity", "strokeOpacity", "symbolOpacity")

Charts = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def run() -> Run:
    return segment_table(pd.DataFrame(synthetic_census.draw().table), kept=7)


@pytest.fixture(scope="module")
def charts(run: Run) -> Charts:
    segments = [SegmentEntry(number=number, name="a", size=1) for number in range(3)]
    runs = [
        HistoryEntry(run_id=str(year), vintage=year, input="s3://in/a.csv", rows=3, models={}, segments=segments)
        for year in (2015, 2016)
    ]
    return specifications(run.document, 0.8, with_map=True) | change_specifications(runs, with_movers=True)


def parts_of(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a specification."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts_of(each)


def values_of(chart: dict[str, Any], key: str) -> set[str]:
    """Return the texts that a specification has under a key."""
    return {part[key] for part in parts_of(chart) if isinstance(part.get(key), str)}


def test_the_axes_and_tooltips_have_these_words(charts: Charts) -> None:
    assert {name: values_of(chart, "title") for name, chart in charts.items()} == WORDS


def test_every_field_is_in_the_charts_data_or_supplied_by_the_page(charts: Charts, run: Run) -> None:
    script = files("jobs.report").joinpath("report.js").read_text(encoding="utf-8")
    page = {key for part in parts_of(Page(render(report_of(run))).json("data")) for key in part}
    for name, chart in charts.items():
        inline = {field for rows in chart["datasets"].values() for field in rows[0]} if "datasets" in chart else set()
        scripted = {field for field in values_of(chart, "field") if re.search(rf"\b{field}\b", script)}
        assert values_of(chart, "field") <= inline | page | scripted, name


def test_every_number_has_a_format_that_d3_knows(charts: Charts) -> None:
    formats = {form for chart in charts.values() for form in values_of(chart, "format")}
    assert len(formats) > 5
    assert {form for form in formats if not FORMAT.fullmatch(form)} == set()


def test_nothing_is_drawn_invisibly(charts: Charts) -> None:
    opacities = {part.get(key) for chart in charts.values() for part in parts_of(chart) for key in OPACITIES}
    assert 0 not in opacities


def test_every_chart_but_the_maps_is_as_wide_as_the_page(charts: Charts) -> None:
    assert {name for name, chart in charts.items() if chart["width"] != "container"} == {"map", "movers"}
    assert {name for name, chart in charts.items() if "autosize" not in chart} == {"map", "movers"}


def test_each_segment_has_a_bar_of_the_same_height(charts: Charts, run: Run) -> None:
    heights = {charts[name]["height"] for name in ("silhouettes", "sizes")}
    assert heights == {24 * len(run.document["segments"])}


def test_the_bars_of_the_segments_are_stacked(charts: Charts) -> None:
    assert charts["histogram"]["encoding"]["y"]["stack"] is True


def test_a_heatmap_grows_with_its_rows(charts: Charts, run: Run) -> None:
    by_row = {name: charts[name]["height"] / 22 for name in ("components", "features")}
    assert by_row == {"components": 7, "features": len(run.document["features"])}


def test_every_expression_names_a_parameter(charts: Charts) -> None:
    for name, chart in charts.items():
        used = {part["expr"] for part in parts_of(chart) if re.fullmatch(r"\w+", str(part.get("expr", "")))}
        assert used <= {param["name"] for param in chart.get("params", ())}, name
