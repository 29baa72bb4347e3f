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

TELLING_FEATURES = 8


class UnknownCountyError(LookupError):
    """No row, or more than one, answers to a name; `suggestions` are State-County names that may be meant."""

    def __init__(self, wanted: str, suggestions: Sequence[str]):
        self.wanted = wanted
        self.suggestions = tuple(suggestions)
        hint = f"; did you mean {', '.join(suggestions)}?" if suggestions else ""
        super().__init__(f"no county is called {wanted!r}{hint}")


@dataclass(frozen=True)
class County:
    """A row of labeled_counties.csv; `index` is its place in the file, from 0."""

    index: int
    id: str
    name: str
    components: tuple[float, ...]
    label: int
    distance: float


@dataclass(frozen=True)
class Comparison:
    """One feature of a county beside its segment's mean and the mean of all, original units.

    `effect_size` is the county's distance from the mean of all, in standard deviations over all rows.
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

    `distance` is to its own segment's centroid, `runner_up_distance` to the next nearest's, and `margin` how much
    farther that one is (0: it could be in either). `traits` are the segment's traits as the county has them;
    `departures` are the features in which the county differs most from its own segment.
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
    """One feature of two counties, original units; `apart` in standard deviations over all rows."""

    feature: str
    label: str
    one: float
    other: float
    all: float
    apart: float
    text: str


@dataclass(frozen=True)
class CountyComparison:
    """How two counties differ: most different features first; `distance` in component space."""

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
    """Find a county by id or by State-County, whatever the case and accents.

    Raises
    ------
    UnknownCountyError
        None has that name, or several share it (then their ids are the suggestions).
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
    """Read a row's features back, in original units, from the training shards given in order.

    Parameters
    ----------
    index
        The row's place in the run, which is its place in labeled_counties.csv.
    shards
        The contents of prepared/train/part-*.pbr.

    Raises
    ------
    IndexError
        The shards hold fewer rows.
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
    """Say why a county is in its segment.

    Parameters
    ----------
    features
        The county's values by feature, original units (`features_of`).
    segments
        segments.json.
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
        departures=tuple(departing[:TELLING_FEATURES]),
    )


def compare_counties(
    one: County,
    one_features: Mapping[str, float],
    other: County,
    other_features: Mapping[str, float],
    segments: SegmentsDocument,
) -> CountyComparison:
    """Lay two counties side by side; parameters as for `explain_county`."""
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
