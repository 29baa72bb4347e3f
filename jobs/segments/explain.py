"""Explanations of single counties: why one is in its segment, or how two differ, from a run's result files."""

import csv
import difflib
import io
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.sagemaker import recordio
from jobs.segments.document import FeatureSummary, Segment, SegmentsDocument
from jobs.segments.scaling import Scaling
from jobs.segments.wording import Feature, Kind

LISTED_FEATURES = 8
LISTED_SWITCHES = 3


class UnknownCountyError(LookupError):
    """No row, or more than one, has the name; `suggestions` are State-County names or ids that may be meant."""

    def __init__(self, wanted: str, suggestions: Sequence[str]):
        self.wanted = wanted
        self.suggestions = tuple(suggestions)
        hint = f"; did you mean {', '.join(suggestions)}?" if suggestions else ""
        super().__init__(f"no county is called {wanted!r}{hint}")


@dataclass(frozen=True)
class County:
    """A row of labeled_counties.csv; `index` is its number in the file, from 0.

    `stability` is the share (0..1) of bootstrap refits in which it keeps its label.
    """

    index: int
    id: str
    name: str
    components: tuple[float, ...]
    label: int
    distance: float
    runner_up: int
    stability: float


@dataclass(frozen=True)
class Comparison:
    """A feature of a county compared with the means of its segment and of all rows, in original units.

    `effect_size` is the difference between the county and the mean of all rows, in standard deviations over all rows.
    """

    feature: str
    label: str
    value: float
    segment: float
    all: float
    effect_size: float
    text: str


@dataclass(frozen=True)
class Switch:
    """A change of one feature that puts a county on the border of its segment and the runner-up.

    `value` and `needed` are the county's value and the one on the border, in original units; `needed` lies within the
    range of the census. `apart` is their difference in standard deviations over all rows.
    """

    feature: str
    label: str
    value: float
    needed: float
    apart: float
    text: str


@dataclass(frozen=True)
class Explanation:
    """Why a county is in its segment, and how certain that is.

    `distance` is the distance to the centroid of its segment, `runner_up_distance` to the next nearest centroid, and
    `margin` their difference; if it is 0, the county could be in either segment. `stability` is the share (0..1) of
    bootstrap refits in which the county keeps its segment. `traits` are the features that are traits of the segment;
    `departures` are the features in which the county differs most from its segment. `switches` are the features that
    would have to differ least, each on its own, to bring the county to the border with the runner-up.
    """

    county: County
    segment: str
    distance: float
    runner_up: int
    runner_up_name: str
    runner_up_distance: float
    margin: float
    stability: float
    traits: tuple[Comparison, ...]
    departures: tuple[Comparison, ...]
    switches: tuple[Switch, ...]


@dataclass(frozen=True)
class Difference:
    """A feature of two counties in original units; `apart` is their difference in standard deviations over all rows."""

    feature: str
    label: str
    one: float
    other: float
    all: float
    apart: float
    text: str


@dataclass(frozen=True)
class CountyComparison:
    """How two counties differ: the most different features come first; `distance` is measured in component space."""

    one: County
    other: County
    one_segment: str
    other_segment: str
    distance: float
    differences: tuple[Difference, ...]


def read_counties(labeled: str) -> list[County]:
    """Read labeled_counties.csv: the id, State, County, c_1..c_n, and the columns that `County` names."""
    rows = csv.reader(io.StringIO(labeled, newline=""))
    heading = next(rows)
    label, distance, runner_up, stability = (
        heading.index(column) for column in ("label", "distance", "runner_up", "stability")
    )
    return [
        County(
            index=index,
            id=row[0],
            name=f"{row[1]}-{row[2]}",
            components=tuple(float(value) for value in row[3:label]),
            label=int(row[label]),
            distance=float(row[distance]),
            runner_up=int(row[runner_up]),
            stability=float(row[stability]),
        )
        for index, row in enumerate(rows)
    ]


def find_county(counties: Sequence[County], wanted: str) -> County:
    """Find a county by id or by State-County, ignoring case and accents.

    Raises
    ------
    UnknownCountyError
        If no county has that name, or if several share it; the suggestions are then their ids.
    """
    key = _plain(wanted)
    found = [one for one in counties if one.id == wanted] or [one for one in counties if _plain(one.name) == key]
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownCountyError(wanted, [one.id for one in found])
    names = {_plain(one.name): one.name for one in counties}
    close = difflib.get_close_matches(key, names, n=3, cutoff=0.6)
    within = [plain for plain in names if key in plain]
    raise UnknownCountyError(wanted, [names[plain] for plain in dict.fromkeys([*within[:3], *close])][:4])


def features_of(index: int, scaling: Scaling, shards: Iterable[bytes]) -> dict[str, float]:
    """Return the features of a row in original units, read from the training shards.

    Parameters
    ----------
    index
        The number of the row in labeled_counties.csv, from 0.
    shards
        The contents of prepared/train/part-*.pbr, in order.

    Raises
    ------
    IndexError
        If the shards hold fewer rows.
    """
    first = 0
    for shard in shards:
        matrix = recordio.decode(shard)
        if index < first + len(matrix):
            values = scaling.inverse_transform(matrix[index - first].astype(np.float64))
            return dict(zip(scaling.features, values.tolist(), strict=True))
        first += len(matrix)
    raise IndexError(f"row {index} is beyond the {first} rows of the training shards")


def explain_county(county: County, features: Mapping[str, float], segments: SegmentsDocument) -> Explanation:
    """Explain why a county is in its segment.

    Parameters
    ----------
    features
        The values of the county by feature, in original units (`features_of`).
    segments
        The content of segments.json.
    """
    own, runner_up = (_segment(segments, label) for label in (county.label, county.runner_up))
    point = np.array(county.components)
    distance, runner_up_distance = (
        float(np.linalg.norm(point - np.array(segment["centroid_components"]))) for segment in (own, runner_up)
    )
    compared = [_compare(summary, features, own) for summary in segments["feature_summaries"]]
    traits = [trait["feature"] for trait in own["traits"]]
    by_feature = {comparison.feature: comparison for comparison in compared}
    std = {summary["feature"]: summary["std"] or 1.0 for summary in segments["feature_summaries"]}
    departing = sorted(compared, key=lambda one: -abs(one.value - one.segment) / std[one.feature])
    return Explanation(
        county=county,
        segment=own["name"],
        distance=distance,
        runner_up=county.runner_up,
        runner_up_name=runner_up["name"],
        runner_up_distance=runner_up_distance,
        margin=runner_up_distance - distance,
        stability=county.stability,
        traits=tuple(by_feature[name] for name in traits),
        departures=tuple(departing[:LISTED_FEATURES]),
        switches=tuple(_switches(county, features, segments)[:LISTED_SWITCHES]),
    )


def _switches(county: County, features: Mapping[str, float], segments: SegmentsDocument) -> list[Switch]:
    """Return the changes of one feature each that put a county on the border with the runner-up, the smallest first.

    The border is the plane halfway between the two centroids. A change of a feature by its whole range moves the county
    by the feature's weights in the components.
    """
    own, other = (
        np.array(_segment(segments, label)["centroid_components"]) for label in (county.label, county.runner_up)
    )
    towards = other - own
    to_border = float(((own + other) / 2 - np.array(county.components)) @ towards)
    switches = []
    for summary in segments["feature_summaries"]:
        weights = [component["weights"][summary["feature"]] for component in segments["pca"]["makeup"]]
        moved = float(np.array(weights) @ towards)
        value, span = features[summary["feature"]], summary["maximum"] - summary["minimum"]
        needed = value + to_border / moved * span if moved else np.inf
        if county.runner_up != county.label and summary["minimum"] <= needed <= summary["maximum"]:
            switches.append(_switch(summary, value, needed))
    return sorted(switches, key=lambda switch: abs(switch.apart))


def _switch(summary: FeatureSummary, value: float, needed: float) -> Switch:
    feature = _feature(summary)
    return Switch(
        feature=feature.name,
        label=feature.label,
        value=value,
        needed=needed,
        apart=(needed - value) / (summary["std"] or 1.0),
        text=(
            f"{feature.label} {feature.value(needed, against=value)} instead of {feature.value(value, against=needed)}"
        ),
    )


def compare_counties(
    one: County,
    one_features: Mapping[str, float],
    other: County,
    other_features: Mapping[str, float],
    segments: SegmentsDocument,
) -> CountyComparison:
    """Compare two counties; the parameters are as for `explain_county`."""
    differences = [_differ(summary, one_features, other_features) for summary in segments["feature_summaries"]]
    return CountyComparison(
        one=one,
        other=other,
        one_segment=_segment(segments, one.label)["name"],
        other_segment=_segment(segments, other.label)["name"],
        distance=float(np.linalg.norm(np.array(one.components) - np.array(other.components))),
        differences=tuple(sorted(differences, key=lambda difference: -abs(difference.apart))),
    )


def _segment(segments: SegmentsDocument, label: int) -> Segment:
    return next(segment for segment in segments["segments"] if segment["label"] == label)


def _compare(summary: FeatureSummary, features: Mapping[str, float], own: Segment) -> Comparison:
    feature = _feature(summary)
    value = features[feature.name]
    mean = own["mean_features"][feature.name]
    everywhere = summary["mean"]
    return Comparison(
        feature=feature.name,
        label=feature.label,
        value=value,
        segment=mean,
        all=everywhere,
        effect_size=(value - everywhere) / (summary["std"] or 1.0),
        text=(
            f"{feature.label} {feature.value(value)} (segment: {feature.value(mean)}, all: {feature.value(everywhere)})"
        ),
    )


def _differ(summary: FeatureSummary, one: Mapping[str, float], other: Mapping[str, float]) -> Difference:
    feature = _feature(summary)
    here, there = one[feature.name], other[feature.name]
    return Difference(
        feature=feature.name,
        label=feature.label,
        one=here,
        other=there,
        all=summary["mean"],
        apart=(here - there) / (summary["std"] or 1.0),
        text=(
            f"{feature.label} {feature.value(here, against=there)} and {feature.value(there, against=here)}"
            f" (all: {feature.value(summary['mean'])})"
        ),
    )


def _feature(summary: FeatureSummary) -> Feature:
    return Feature(summary["feature"], summary["label"], Kind(summary["kind"]), is_error=False)


def _plain(text: str) -> str:
    stripped = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in stripped if not unicodedata.combining(letter)).casefold().strip()
