"""The charts of the report as Vega-Lite specifications, built with Altair; the page supplies their data.

Colors that follow the light or dark theme of the page are CSS variables. The charts are drawn as SVG, so they do not
have to be drawn again when the theme changes or the page is printed.

Encodings are channel objects throughout (`alt.ColorValue("red")` and `alt.Text("text:N")`, not `alt.value("red")` and
`"text:N"`), because Altair searches its whole schema to convert anything else into one, which takes 10 ms each.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt
from altair.utils.schemapi import debug_mode

from jobs.report.palette import colours
from jobs.segments.document import Segment, SegmentsDocument

INK, MUTED, LINE, PAPER = "var(--ink)", "var(--muted)", "var(--line)", "var(--paper)"
ACCENT, OTHER, QUIET = "var(--accent)", "var(--other)", "var(--quiet)"
FONT = "system-ui, sans-serif"
SHOWN = "indexof(shown, datum.label) >= 0"
MAKEUP_FEATURES = 10  # as many as the notebook drew
STRONG_EFFECT = 3.0  # standard deviations at full color
BAR = 24  # pixels
MAP_SIZE = (975, 610)  # what the projected topologies of the atlases are drawn for
FIT_WIDTH = {"type": "fit-x", "contains": "padding"}  # heights follow from the number of bars

Spec = dict[str, Any]
AnyChart = Any  # Altair's methods return unions that differ from step to step


THEME: Spec = {
    "background": "transparent",
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "titleColor": MUTED,
        "domainColor": LINE,
        "tickColor": LINE,
        "gridColor": LINE,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": 220,
    },
    "text": {"fontSize": 12},
}


def specifications(
    document: SegmentsDocument, variance_to_keep: float, *, with_map: bool, validate: bool = False
) -> dict[str, Spec]:
    """Build every chart of a report but those of `jobs.report.change_charts`, by name; all share `THEME`.

    `validate` checks them against the schema of Vega-Lite. This takes a second and does not depend on the data, so
    only the tests do it.
    """
    with debug_mode(validate):
        return to_specs(_charts(document, variance_to_keep, with_map=with_map), validate=validate)


def to_specs(charts: Mapping[str, AnyChart], *, validate: bool) -> dict[str, Spec]:
    """Write charts as specifications without a configuration; those whose width is the page's follow it."""
    specs: dict[str, Spec] = {name: chart.to_dict(validate=validate) for name, chart in charts.items()}
    for spec in specs.values():
        del spec["config"]
        if spec.get("width") == "container":
            spec["autosize"] = FIT_WIDTH
    return specs


def _charts(document: SegmentsDocument, variance_to_keep: float, *, with_map: bool) -> dict[str, AnyChart]:
    charts = {
        "variance": _variance(document, variance_to_keep),
        "silhouettes": _silhouettes(document),
        "sizes": _sizes(document),
        "makeup": _makeup(document),
        "components": _heatmap(document, _COMPONENTS),
        "features": _heatmap(document, _FEATURES),
        "histogram": _histogram(document),
    }
    if document["kmeans"]["elbow"]:
        charts["elbow"] = _elbow(document)
        charts["steadiness"] = _steadiness(document)
    if with_map:
        charts["map"] = _map(document)
    return charts


def data(name: str) -> AnyChart:
    """Begin a chart of the rows that the page's script supplies under a name."""
    return alt.Chart(alt.NamedData(name))


def _shown(document: SegmentsDocument) -> alt.Parameter:
    return alt.param(name="shown", value=[segment["label"] for segment in document["segments"]])


def _segment_colour(document: SegmentsDocument) -> alt.Color:
    scale = segment_scale([segment["label"] for segment in document["segments"]])
    return alt.Color("label:N", scale=scale, legend=None)


def segment_scale(labels: Iterable[int]) -> alt.Scale:
    """Return the scale that gives every segment its color, which is the same in all charts of the report."""
    domain = sorted(labels)
    palette = colours(domain[-1] + 1)
    return alt.Scale(domain=domain, range=[palette[label] for label in domain])


def _map(document: SegmentsDocument) -> AnyChart:
    """Draw the counties; `fills` of each county holds its color for every view of the map."""
    counties = (
        data("counties")
        .transform_calculate(fill=f"{SHOWN} ? datum.fills[coloring] : '{QUIET}'")
        .mark_geoshape(stroke=PAPER, strokeWidth=0.3)
        .encode(
            color=alt.Color("fill:N", scale=None),
            tooltip=[
                alt.Tooltip("name:N", title="County"),
                alt.Tooltip("segment:N", title="Segment"),
                alt.Tooltip("stability:N", title="Stability"),
                alt.Tooltip("runnerUp:N", title="Runner-up"),
                alt.Tooltip("distance:N", title="Distance"),
            ],
            description=alt.Description("name:N"),
        )
    )
    return on_map(counties, "Map of counties, colored as selected above it").add_params(
        _shown(document), alt.param(name="coloring", value="segment")
    )


def on_map(counties: AnyChart, description: str) -> AnyChart:
    """Draw shapes of counties on a map: over the states in `background`, and below the borders of the states."""
    background = data("background").mark_geoshape(fill=QUIET, tooltip=None, aria=False)
    borders = data("borders").mark_geoshape(filled=False, stroke=PAPER, strokeWidth=0.9, tooltip=None, aria=False)
    inset = (
        alt.Chart(alt.InlineData([{"text": "Puerto Rico (enlarged)"}]))
        .mark_text(x=966, y=594, color=MUTED, fontSize=11, align="right", aria=False)
        .encode(text=alt.Text("text:N"))
    )
    return (
        alt.layer(background, counties, borders, inset)
        .project(type="identity", scale=1, translate=[0, 0])
        .properties(width=MAP_SIZE[0], height=MAP_SIZE[1], description=description)
    )


def _variance(document: SegmentsDocument, variance_to_keep: float) -> AnyChart:
    kept = len(document["pca"]["makeup"])
    values = [
        {"n": n + 1, "share": share, "kept": n < kept} for n, share in enumerate(document["pca"]["explained_variance"])
    ]
    base = alt.Chart(alt.InlineData(values)).encode(
        x=alt.X("n:O", title="Components kept", axis=alt.Axis(labelAngle=0, labelOverlap=True, labelSeparation=5)),
        y=alt.Y(
            "share:Q",
            title="Variance explained",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(format=".0%", tickCount=5),
        ),
    )
    bars = base.mark_bar(cornerRadiusEnd=2).encode(
        color=alt.ColorValue(QUIET, condition={"test": "datum.kept", "value": ACCENT}),
        tooltip=[
            alt.Tooltip("n:O", title="Components"),
            alt.Tooltip("share:Q", title="Variance explained", format=".2%"),
        ],
    )
    wanted = (
        alt.Chart(alt.InlineData([{"wanted": variance_to_keep, "text": f"required: {variance_to_keep:.0%}"}]))
        .mark_rule(color=INK, strokeDash=[4, 3])
        .encode(y=alt.Y("wanted:Q"))
    )
    words = wanted.mark_text(x=0, align="left", dy=-6, dx=2, color=INK).encode(text=alt.Text("text:N"))
    explained = document["pca"]["explained_variance"][kept - 1]
    return alt.layer(bars, wanted, words).properties(
        width="container",
        height=220,
        description=f"{kept} of {document['pca']['num_components']} components explain {explained:.1%} of the variance",
    )


def _elbow(document: SegmentsDocument) -> AnyChart:
    chosen = len(document["segments"])
    values = [
        {"k": point["k"], "distance": point["mean_distance"], "chosen": point["k"] == chosen}
        for point in document["kmeans"]["elbow"]
    ]
    base = alt.Chart(alt.InlineData(values)).encode(
        x=alt.X("k:O", title="Clusters (k)", axis=alt.Axis(labelAngle=0)),
        y=alt.Y(
            "distance:Q",
            title="Mean distance to centroid",
            scale=alt.Scale(zero=False, nice=True),
            axis=alt.Axis(tickCount=5),
        ),
    )
    line = base.mark_line(color=ACCENT, strokeWidth=2)
    points = base.mark_point(filled=True, opacity=1).encode(
        color=alt.ColorValue(ACCENT),
        size=alt.SizeValue(40, condition={"test": "datum.chosen", "value": 160}),
        tooltip=[
            alt.Tooltip("k:O", title="Clusters"),
            alt.Tooltip("distance:Q", title="Mean distance", format=".4f"),
        ],
    )
    words = (
        base.transform_filter("datum.chosen")
        .mark_text(dy=-14, dx=4, align="left", color=INK)
        .encode(text=alt.TextValue(f"k = {chosen}, used"))
    )
    return alt.layer(line, points, words).properties(
        width="container",
        height=220,
        description=f"Mean distance to the centroid for each number of clusters; {chosen} were used",
    )


def _steadiness(document: SegmentsDocument) -> AnyChart:
    """Draw the adjusted Rand index and the silhouette by k, with a symbol of its own for each."""
    chosen = len(document["segments"])
    values = [
        {"k": point["k"], "measure": name, "value": value, "chosen": point["k"] == chosen}
        for point in document["kmeans"]["elbow"]
        for name, value in (("Adjusted Rand index", point["adjusted_rand"]), ("Silhouette", point["silhouette"]))
        if value is not None
    ]
    legend = alt.Legend(orient="top", title=None, labelColor=INK, symbolOpacity=1)
    base = alt.Chart(alt.InlineData(values)).encode(
        x=alt.X("k:O", title="Clusters (k)", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("value:Q", title=None, axis=alt.Axis(tickCount=5)),
        color=alt.Color("measure:N", scale=alt.Scale(range=[ACCENT, OTHER]), legend=legend),
    )
    lines = base.mark_line(strokeWidth=2)
    points = base.mark_point(filled=True, opacity=1).encode(
        shape=alt.Shape("measure:N", scale=alt.Scale(range=["circle", "square"]), legend=legend),
        size=alt.SizeValue(40, condition={"test": "datum.chosen", "value": 160}),
        tooltip=[
            alt.Tooltip("k:O", title="Clusters"),
            alt.Tooltip("measure:N", title="Measure"),
            alt.Tooltip("value:Q", title="Value", format=".2f"),
        ],
    )
    return alt.layer(lines, points).properties(
        width="container",
        height=220,
        description=f"Adjusted Rand index and silhouette for each number of clusters; {chosen} were used",
    )


def _silhouettes(document: SegmentsDocument) -> AnyChart:
    values = [
        {
            "label": segment["label"],
            "segment": titled(segment),
            "silhouette": segment["silhouette"],
        }
        for segment in document["segments"]
        if segment["silhouette"] is not None
    ]
    bars = (
        alt.Chart(alt.InlineData(values))
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            y=alt.Y("label:O", title="Segment", sort=None),
            x=alt.X("silhouette:Q", title="Mean silhouette", axis=alt.Axis(tickCount=6)),
            color=_segment_colour(document),
            tooltip=[
                alt.Tooltip("segment:N", title="Segment"),
                alt.Tooltip("silhouette:Q", title="Mean silhouette", format=".2f"),
            ],
        )
    )
    overall = (
        alt.Chart(
            alt.InlineData(
                [{"all": document["kmeans"]["silhouette"], "text": f"all: {document['kmeans']['silhouette'] or 0:.2f}"}]
            )
        )
        .mark_rule(color=INK, strokeDash=[4, 3])
        .encode(x=alt.X("all:Q"))
    )
    words = overall.mark_text(y=-4, baseline="bottom", color=INK).encode(text=alt.Text("text:N"))
    return alt.layer(bars, overall, words).properties(
        width="container", height=BAR * len(document["segments"]), description="Mean silhouette of each segment"
    )


def _sizes(document: SegmentsDocument) -> AnyChart:
    values = [
        {
            "label": segment["label"],
            "segment": titled(segment),
            "size": segment["size"],
            "share": segment["share"],
        }
        for segment in document["segments"]
    ]
    base = alt.Chart(alt.InlineData(values)).encode(
        y=alt.Y("label:O", title="Segment", sort=None), x=alt.X("size:Q", title="Rows", axis=alt.Axis(tickCount=5))
    )
    bars = base.mark_bar(cornerRadiusEnd=2).encode(
        color=_segment_colour(document),
        tooltip=[
            alt.Tooltip("segment:N", title="Segment"),
            alt.Tooltip("size:Q", title="Rows", format=","),
            alt.Tooltip("share:Q", title="Share", format=".1%"),
        ],
    )
    words = base.mark_text(align="left", dx=4, color=INK).encode(text=alt.Text("size:Q", format=","))
    return alt.layer(bars, words).properties(
        width="container", height=BAR * len(document["segments"]), description="Number of rows in each segment"
    )


def _makeup(document: SegmentsDocument) -> AnyChart:
    """Draw one component's ten heaviest features; data: [{feature, weight}], heaviest first."""
    return (
        data("weights")
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            y=alt.Y("feature:N", sort=None, title=None),
            x=alt.X("weight:Q", title="Weight", axis=alt.Axis(tickCount=5)),
            color=alt.ColorValue(OTHER, condition={"test": "datum.weight > 0", "value": ACCENT}),
            tooltip=[
                alt.Tooltip("feature:N", title="Feature"),
                alt.Tooltip("weight:Q", title="Weight", format="+.3f"),
            ],
        )
        .properties(
            width="container",
            height=18 * min(MAKEUP_FEATURES, len(document["features"])),
            description="The ten heaviest features of a component",
        )
    )


@dataclass(frozen=True)
class _Heat:
    """What a heatmap shows: the field of its rows, the field that sets the color, and extra lines of the tooltip."""

    row: str
    row_title: str
    value: str
    value_title: str
    text_title: str
    extra: tuple[tuple[str, str], ...] = ()


_COMPONENTS = _Heat("component", "Component", "value", "Center", "Rounded")
_FEATURES = _Heat(
    "feature",
    "Feature",
    "effect",
    "Standard deviations from the mean of all",
    "Mean of the segment",
    extra=(("all", "Mean of all"), ("centre", "Center, mapped back")),
)


def _heatmap(document: SegmentsDocument, heat: _Heat) -> AnyChart:
    """Draw segments x components (or features); data: [{label, segment, <row>, <value>, text, <extra>}]."""
    features = heat is _FEATURES
    rows = len(document["features"]) if features else len(document["pca"]["makeup"])
    strongest = STRONG_EFFECT if features else _strongest(document)
    base = data("cells").encode(
        x=alt.X("label:O", title="Segment", axis=alt.Axis(orient="top", labelAngle=0), sort=None),
        y=alt.Y(f"{heat.row}:N", title=None, sort=None),
        tooltip=[
            alt.Tooltip("segment:N", title="Segment"),
            alt.Tooltip(f"{heat.row}:N", title=heat.row_title),
            alt.Tooltip("text:N", title=heat.text_title),
            *(alt.Tooltip(f"{field}:N", title=title) for field, title in heat.extra),
            alt.Tooltip(f"{heat.value}:Q", title=heat.value_title, format="+.2f"),
        ],
    )
    cells = base.mark_rect(stroke=PAPER, strokeWidth=1).encode(
        color=alt.Color(
            f"{heat.value}:Q",
            scale=alt.Scale(scheme="blueorange", domain=[-strongest, strongest], clamp=True, reverse=True),
            legend=None,
        )
    )
    dark = f"abs(datum.{heat.value}) > {0.62 * strongest}"
    words = base.mark_text(fontSize=11, aria=False).encode(
        text=alt.Text("text:N"), color=alt.ColorValue("#222", condition={"test": dark, "value": "#fff"})
    )
    return alt.layer(cells, words).properties(
        width="container", height=22 * rows, description=f"Heatmap of segments by {heat.row}"
    )


def _strongest(document: SegmentsDocument) -> float:
    values = [abs(value) for segment in document["segments"] for value in segment["centroid_components"]]
    return max(values, default=1.0) or 1.0


def _histogram(document: SegmentsDocument) -> AnyChart:
    """Draw a feature's rows by segment; data: [{label, segment, from, to, rows}].

    The parameters `least`, `most` and `tallest` are the ends of the axes.
    """
    ends = [alt.param(name=name, value=value) for name, value in (("least", 0), ("most", 1), ("tallest", 1))]
    across = alt.Scale(domain=[alt.ExprRef("least"), alt.ExprRef("most")])
    up = alt.Scale(domain=[0, alt.ExprRef("tallest")])
    return (
        data("bins")
        .mark_bar(binSpacing=0)
        .encode(
            x=alt.X(
                "from:Q", title=None, axis=alt.Axis(tickCount=4, format="~s", grid=False), bin="binned", scale=across
            ),
            x2=alt.X2("to:Q"),
            y=alt.Y("rows:Q", title=None, axis=alt.Axis(tickCount=3, format="~s"), stack=True, scale=up),
            color=_segment_colour(document),
            order=alt.Order("label:O"),
            tooltip=[
                alt.Tooltip("segment:N", title="Segment"),
                alt.Tooltip("from:Q", title="From", format=",.4~g"),
                alt.Tooltip("to:Q", title="to", format=",.4~g"),
                alt.Tooltip("rows:Q", title="Rows", format=","),
            ],
        )
        .transform_filter(SHOWN)
        .properties(width="container", height=120, description="Histogram of a feature by segment")
        .add_params(_shown(document), *ends)
    )


def titled(segment: Segment) -> str:
    """Return a segment's number and name as one text."""
    return f"{segment['label']}: {segment['name']}"
