"""The report of a run as one HTML file that contains everything it needs."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined, Template

from jobs.report import counties
from jobs.report.change_charts import SHOWN_RUNS, change_specifications
from jobs.report.charts import THEME, specifications
from jobs.report.movers import MoversMap, movers_map, segment_names, with_names
from jobs.report.palette import colours
from jobs.segments.certainty import CLASSES, classify, stability_in_words, steadier_sentence
from jobs.segments.document import FeatureSummary, SegmentsDocument
from jobs.segments.rows import Rows
from jobs.segments.scaling import Scaling
from jobs.segments.statistics import HISTOGRAM_BINS, MAX_LISTED_ROWS, SAMPLE_ROWS, SegmentStatistics
from jobs.segments.wording import Feature, Kind, shortened
from jobs.series.changes import Changes
from jobs.series.history import HistoryEntry

SCRIPTS = ("vega.min.js", "vega-lite.min.js", "vega-embed.min.js")
DEFAULT_HISTOGRAMS = 6
_LISTED_MOVERS = 20
_LONGEST_NAME = 60  # characters of a region or column in running text; the tooltip has the whole name
_UTC_TIME = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:\+00:00|Z)$")
_ABBREVIATIONS = {
    "arn": "ARN",
    "etag": "ETag",
    "id": "ID",
    "k": "k",
    "kmeans": "k-means",
    "kms": "KMS",
    "pca": "PCA",
    "sha256": "SHA-256",
    "uri": "URI",
}


@dataclass(frozen=True)
class RunReport:
    """What a report shows.

    Attributes
    ----------
    document
        The content of segments.json.
    statistics, scaling
        Of the whole run; they hold the histograms and the rows of the map and the table.
    manifest
        The content of manifest.json, shown as provenance; keys that are not known here are shown too.
    variance_to_keep
        The share (0..1) of the variance that the kept components had to explain.
    changes
        What changed since the run before in the series; None leaves the section out.
    runs
        The runs of the series, oldest first, with this run as the last one.
    """

    document: SegmentsDocument
    statistics: SegmentStatistics
    scaling: Scaling
    manifest: Mapping[str, object]
    variance_to_keep: float
    changes: Changes | None = None
    runs: Sequence[HistoryEntry] = ()


def render(report: RunReport) -> str:
    """Render report.html, which opens offline and makes no request.

    Raises
    ------
    FileNotFoundError
        If jobs/vendor is empty; `npm ci` fills it.
    """
    report = replace(report, document=_largest_first(report.document))
    document = report.document
    listed = report.statistics.listed
    county_map = _county_map(listed)
    palette = _palette(document)
    movers = movers_map(report.changes, listed, county_map.rows)
    charts = {
        **specifications(document, report.variance_to_keep, with_map=county_map.drawn),
        **change_specifications(report.runs, with_movers=movers is not None),
    }
    return _template().render(
        document=document,
        manifest=report.manifest,
        variance_to_keep=report.variance_to_keep,
        county_map=county_map,
        changes=report.changes,
        movers=with_names(report.changes, _LISTED_MOVERS),
        movers_map=movers,
        runs_count=len(report.runs),
        shown_runs=min(len(report.runs), SHOWN_RUNS),
        noun="counties" if county_map.drawn else "regions",
        listed=listed is not None,
        statistics_sample=SAMPLE_ROWS,
        colours=palette,
        named={segment["label"]: segment["name"] for segment in document["segments"]},
        certainties=_certainties(listed),
        steadier=steadier_sentence(document["kmeans"]),
        summaries=[(summary, _feature(summary)) for summary in document["feature_summaries"]],
        style=_own_file("report.css"),
        scripts=[_safe_script(script) for script in _scripts()],
        charts=_json(charts),
        data=_json(_page_data(report, movers)),
        topology=_safe_json(counties.topology(county_map)) if county_map.drawn else None,
    )


def _largest_first(document: SegmentsDocument) -> SegmentsDocument:
    by_size = sorted(document["segments"], key=lambda segment: (-segment["size"], segment["label"]))
    return {**document, "segments": by_size}


def _palette(document: SegmentsDocument) -> list[str]:
    """Return the color of every label up to the largest one."""
    return colours(max(segment["label"] for segment in document["segments"]) + 1)


def _certainties(listed: Rows | None) -> list[tuple[str, str, int]]:
    """Return for each class of certainty its name, its range, and its number of rows."""
    rows = np.bincount(classify(listed.stabilities), minlength=len(CLASSES)).tolist() if listed else [0] * len(CLASSES)
    return [(one.name, one.range, count) for one, count in zip(CLASSES, rows, strict=True)]


def _county_map(listed: Rows | None) -> counties.CountyMap:
    if listed is None:
        why = (
            f"There is no map and no table because the file has more than {MAX_LISTED_ROWS:,} rows. "
            "labeled_counties.csv has all of them."
        )
        return counties.CountyMap(drawn=False, why_not=why)
    return counties.join(listed.ids, listed.names)


def _page_data(report: RunReport, movers: MoversMap | None) -> dict[str, Any]:
    """Collect the data of the page's script, as compact columns."""
    document = report.document
    return {
        "theme": THEME,
        "segments": [{"label": segment["label"], "name": segment["name"]} for segment in document["segments"]],
        "colours": _palette(document),
        "certainties": [one.name for one in CLASSES],
        "components": [component["name"] for component in document["pca"]["makeup"]],
        "makeup": [_heaviest(component["weights"], document) for component in document["pca"]["makeup"]],
        "componentCells": _component_cells(document),
        "featureCells": _feature_cells(document),
        "histograms": _histograms(report),
        "histogramGroups": _histogram_groups(document),
        "rows": _rows(report.statistics.listed, document),
        "movers": _movers(movers, report.changes),
    }


def _movers(movers: MoversMap | None, changes: Changes | None) -> dict[str, Any] | None:
    if movers is None or changes is None:
        return None
    before, now = segment_names(changes)
    return {**movers.data, "segmentsBefore": before, "segmentsNow": now}


def _heaviest(weights: Mapping[str, float], document: SegmentsDocument) -> list[dict[str, Any]]:
    labels = {summary["feature"]: summary["label"] for summary in document["feature_summaries"]}
    chosen = sorted(weights.items(), key=lambda item: -abs(item[1]))[:10]
    return [{"feature": labels[name], "weight": round(weight, 4)} for name, weight in chosen]


def _component_cells(document: SegmentsDocument) -> list[dict[str, Any]]:
    return [
        {
            "label": segment["label"],
            "segment": f"{segment['label']}: {segment['name']}",
            "component": f"c_{i + 1}",
            "value": round(value, 4),
            "text": _minus(f"{value:.2f}"),
        }
        for i in range(len(document["pca"]["makeup"]))
        for segment in document["segments"]
        for value in [segment["centroid_components"][i]]
    ]


def _feature_cells(document: SegmentsDocument) -> list[dict[str, Any]]:
    cells = []
    for summary in sorted(document["feature_summaries"], key=lambda summary: -summary["separation"]):
        feature = _feature(summary)
        for segment in document["segments"]:
            value = segment["mean_features"][summary["feature"]]
            cells.append(
                {
                    "label": segment["label"],
                    "segment": f"{segment['label']}: {segment['name']}",
                    "feature": summary["label"],
                    "effect": round((value - summary["mean"]) / summary["std"], 3) if summary["std"] > 0 else 0,
                    "text": _minus(feature.value(value)),
                    "all": _minus(feature.value(summary["mean"])),
                    "centre": _minus(feature.value(segment["centroid_features"][summary["feature"]])),
                }
            )
    return cells


def _minus(text: str) -> str:
    """Replace hyphens by minus signs, and drop the sign of a number whose digits are all zero."""
    return text.replace("-", "\u2212" if any(digit in text for digit in "123456789") else "")


def _histograms(report: RunReport) -> list[dict[str, Any]]:
    """Return the histogram of every feature: its range, and the number of rows by segment and bin."""
    return [
        {
            "feature": summary["feature"],
            "label": summary["label"],
            "unit": summary["kind"],
            "minimum": summary["minimum"],
            "bins": HISTOGRAM_BINS,
            "width": (summary["maximum"] - summary["minimum"]) / HISTOGRAM_BINS,
            "segments": [
                {"label": segment["label"], "rows": report.statistics.histogram[segment["centroid"], i].tolist()}
                for segment in report.document["segments"]
            ],
        }
        for i, summary in enumerate(report.document["feature_summaries"])
    ]


def _histogram_groups(document: SegmentsDocument) -> list[dict[str, Any]]:
    """Return groups of features to compare: those that differ most, those that add up to 100 %, and all."""
    labels = {summary["feature"]: summary["label"] for summary in document["feature_summaries"]}
    by_separation = sorted(document["feature_summaries"], key=lambda summary: -summary["separation"])
    most = [summary["feature"] for summary in by_separation[:DEFAULT_HISTOGRAMS]]
    return [
        {
            "title": "Features that differ most between segments",
            "features": most,
        },
        *(
            {"title": ", ".join(labels[name] for name in group), "features": group}
            for group in document["compositions"]
        ),
        {"title": f"All {len(document['feature_summaries'])} features", "features": list(labels)},
    ]


def _rows(listed: Rows | None, document: SegmentsDocument) -> dict[str, Any] | None:
    if listed is None:
        return None
    labels = np.empty(len(document["segments"]), dtype=np.int64)
    labels[[segment["centroid"] for segment in document["segments"]]] = [
        segment["label"] for segment in document["segments"]
    ]
    states = sorted(set(listed.states))
    place = {state: i for i, state in enumerate(states)}
    return {
        "id": listed.ids,
        "states": states,
        "state": [place[state] for state in listed.states],
        "county": listed.counties,
        "label": labels[listed.labels].tolist(),
        "distance": np.round(listed.distances, 3).tolist(),
        "runnerUp": labels[listed.runners_up].tolist(),
        "margin": np.round(listed.margins, 3).tolist(),
        "stability": np.round(listed.stabilities, 3).tolist(),
        "certainty": classify(listed.stabilities).tolist(),
        "components": np.round(listed.components.astype(np.float64), 3).T.tolist(),
    }


def _feature(summary: FeatureSummary) -> Feature:
    return Feature(summary["feature"], summary["label"], Kind(summary["kind"]), is_error=False)


def _json(value: Any) -> str:
    return _safe_json(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False))


def _safe_json(text: str) -> str:
    """Escape JSON for a script element, so that no tag can begin or end in it."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _safe_script(code: str) -> str:
    """Escape what would end the element of a script."""
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")


@cache
def _scripts() -> tuple[str, ...]:
    vendor = files("jobs").joinpath("vendor")
    return (*(vendor.joinpath(name).read_text(encoding="utf-8") for name in SCRIPTS), _own_file("report.js"))


def _own_file(name: str) -> str:
    return files("jobs.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["short"] = lambda text: shortened(text, _LONGEST_NAME)
    environment.filters["percent"] = lambda share: f"{100 * share:.0f} %"
    environment.filters["count"] = lambda number: f"{number:,}"
    environment.filters["stability"] = stability_in_words
    environment.filters["millions"] = _millions
    environment.filters["spoken"] = _spoken
    environment.filters["shown"] = _shown
    environment.filters["nested"] = lambda records: any(
        isinstance(value, Mapping) for record in records for value in record.values()
    )
    return environment.from_string(_own_file("template.html"))


def _millions(people: int) -> str:
    """Write a population in three figures: 28.3 million, 412,000."""
    if people >= 1_000_000:
        return f"{float(f'{people:.3g}') / 1e6:.3g} million"
    return f"{float(f'{people:.3g}'):,.0f}"


def _spoken(key: str) -> str:
    """Write a manifest's key for people: billable_training_seconds -> Billable training seconds."""
    words = " ".join(_ABBREVIATIONS.get(word, word) for word in str(key).split("_"))
    return words[:1].upper() + words[1:]


def _shown(value: Any) -> str:
    """Write a manifest's value for people; times to the second, as in 2019-03-08 00:07:38 UTC."""
    if value is None:
        return "none"
    return _UTC_TIME.sub(r"\1 \2 UTC", str(value))
