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


class UnknownCountyError(LookupError):
    """No row, or more than one, has the name; `suggestions` are State-County names or ids that may be meant."""

    def __init__(self, wanted: str, suggestions: Sequence[str]):
        self.wanted = wanted
        self.suggestions = tuple(suggestions)
        hint = f"; did you mean {', '.join(suggestions)}?" if suggestions else ""
        super().__init__(f"no county is called {wanted!r}{hint}")


@dataclass(frozen=True)
class County:
    """A row of labeled_counties.csv; `index` is its number in the file, from 0."""

    index: int
    id: str
    name: str
    components: tuple[float, ...]
    label: int
    distance: float


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
class Explanation:
    """Why a county is in its segment.

    `distance` is the distance to the centroid of its segment, `runner_up_distance` to the next nearest centroid, and
    `margin` their difference; if it is 0, the county could be in either segment. `traits` are the features that are
    traits of the segment; `departures` are the features in which the county differs most from its segment.
    """

    county: County
    segment: str
    distance: float
    runner_up: int
    runner_up_name: str
    runner_up_distance: float
    margin: float
    traits: tuple[Comparison, ...]
    departures: tuple[Comparison, ...]


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
    """Read labeled_counties.csv: the id, State, County, c_1..c_n, label, distance, segment."""
    rows = csv.reader(io.StringIO(labeled, newline=""))
    heading = next(rows)
    label, distance = heading.index("label"), heading.index("distance")
    return [
        County(
            index=index,
            id=row[0],
            name=f"{row[1]}-{row[2]}",
            components=tuple(float(value) for value in row[3:label]),
            label=int(row[label]),
            distance=float(row[distance]),
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
    own = segments["segments"][county.label]
    point = np.array(county.components)
    distances = {
        segment["label"]: float(np.linalg.norm(point - np.array(segment["centroid_components"])))
        for segment in segments["segments"]
    }
    others = {label: distance for label, distance in distances.items() if label != county.label}
    runner_up = min(others, key=lambda label: others[label]) if others else county.label
    compared = [_compare(summary, features, own) for summary in segments["feature_summaries"]]
    traits = [trait["feature"] for trait in own["traits"]]
    by_feature = {comparison.feature: comparison for comparison in compared}
    std = {summary["feature"]: summary["std"] or 1.0 for summary in segments["feature_summaries"]}
    departing = sorted(compared, key=lambda one: -abs(one.value - one.segment) / std[one.feature])
    return Explanation(
        county=county,
        segment=own["name"],
        distance=distances[county.label],
        runner_up=runner_up,
        runner_up_name=segments["segments"][runner_up]["name"],
        runner_up_distance=distances[runner_up],
        margin=distances[runner_up] - distances[county.label],
        traits=tuple(by_feature[name] for name in traits),
        departures=tuple(departing[:LISTED_FEATURES]),
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
        one_segment=segments["segments"][one.label]["name"],
        other_segment=segments["segments"][other.label]["name"],
        distance=float(np.linalg.norm(np.array(one.components) - np.array(other.components))),
        differences=tuple(sorted(differences, key=lambda difference: -abs(difference.apart))),
    )


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
