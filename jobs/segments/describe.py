"""Segments with meaning: traits, names, typical places and outliers, from merged statistics.

Rules, all measured, none about people:

trait
    A feature whose mean over the segment's rows lies at least half a standard deviation (of all rows)
    from the mean of all rows. The strongest comes first; a feature that says the same as a stronger one
    (correlated 0.85 or more over the sample) and margins of error are left out.
name
    The phrases of the two strongest traits ("high poverty", "very" from two standard deviations on);
    segments that would share a name take further traits, at last their label. Without any trait:
    "Near the average".
typical, outliers
    The rows nearest to and farthest from the segment's centroid in component space.
silhouette
    Mean over the segment's rows of (b - a) / max(a, b), a the mean distance to the own segment's rows, b to
    the nearest other segment's (Rousseeuw 1987); on an even sample beyond 4,096 rows.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from jobs.segments.kmeans import ElbowPoint, distances
from jobs.segments.pca import PcaModel
from jobs.segments.statistics import EXEMPLARS, Regions, Rows, Scaling, SegmentStatistics
from jobs.segments.wording import Feature, Kind, describe_feature, population_feature

TRAIT_EFFECT = 0.5
SAME_CORRELATION = 0.85
MAX_TRAITS = 6
NAME_TRAITS = 2
MAKEUP_FEATURES = 6
_BLOCK = 512  # rows whose distances to all others are in memory at a time

__all__ = ["Regions", "Scaling", "SegmentStatistics", "SegmentsDocument", "describe"]


@dataclass(frozen=True)
class Trait:
    """What sets a segment apart: means over rows in original units, effect size in standard deviations."""

    feature: str
    value: float
    all: float
    effect_size: float
    phrase: str
    text: str


@dataclass(frozen=True)
class Place:
    """A row as an example of its segment, and its distance to the centroid."""

    id: str
    name: str
    distance: float


@dataclass(frozen=True)
class Segment:
    """One segment; `label` is SageMaker's, features are in original units.

    `centroid_features` is the centroid mapped back through PCA and scaling; `mean_features` is the mean of
    the segment's rows, which differs from it by what the dropped components held.
    """

    label: int
    name: str
    size: int
    share: float
    population: int | None
    centroid_components: tuple[float, ...]
    centroid_features: Mapping[str, float]
    mean_features: Mapping[str, float]
    traits: tuple[Trait, ...]
    typical: tuple[Place, ...]
    outliers: tuple[Place, ...]
    silhouette: float | None
    closest_segment: int | None

    @property
    def representatives(self) -> list[str]:
        """State-County of the rows nearest to the centroid."""
        return [place.name for place in self.typical]


@dataclass(frozen=True)
class Component:
    """One kept component: what it is made of, named by its heaviest features."""

    component: str
    name: str
    share_of_variance: float
    weights: Mapping[str, float]


@dataclass(frozen=True)
class FeatureSummary:
    """A feature over all rows in original units (quartiles: of the sample), and how it tells segments apart.

    `separation` is eta squared: the share (0..1) of the feature's variance that lies between segments.
    """

    feature: str
    label: str
    kind: str
    mean: float
    std: float
    minimum: float
    first_quartile: float
    median: float
    third_quartile: float
    maximum: float
    separation: float


@dataclass(frozen=True)
class SegmentsDocument:
    """Everything in segments.json."""

    run_id: str
    rows_read: int
    rows_dropped: int
    rows_labeled: int
    dropped_regions: tuple[Mapping[str, Any], ...]
    constant_features: tuple[Mapping[str, Any], ...]
    features: tuple[FeatureSummary, ...]
    compositions: tuple[tuple[str, ...], ...]
    num_components: int
    singular_values: tuple[float, ...]
    explained_variance: tuple[float, ...]
    components: tuple[Component, ...]
    mean_squared_distance: float
    silhouette: float | None
    elbow: tuple[ElbowPoint, ...]
    segments: tuple[Segment, ...]

    def to_document(self) -> dict[str, Any]:
        """Arrange as segments.json has it."""
        return {
            "run_id": self.run_id,
            "rows": {"read": self.rows_read, "dropped": self.rows_dropped, "labeled": self.rows_labeled},
            "dropped_regions": [dict(region) for region in self.dropped_regions],
            "constant_features": [dict(feature) for feature in self.constant_features],
            "features": [summary.feature for summary in self.features],
            "feature_summaries": [asdict(summary) for summary in self.features],
            "compositions": [list(group) for group in self.compositions],
            "pca": {
                "num_components": self.num_components,
                "singular_values": list(self.singular_values),
                "explained_variance": list(self.explained_variance),
                "components_kept": len(self.components),
                "makeup": [asdict(component) for component in self.components],
            },
            "kmeans": {
                "k": len(self.segments),
                "mean_squared_distance": self.mean_squared_distance,
                "silhouette": self.silhouette,
                "elbow": [asdict(point) for point in self.elbow],
            },
            "segments": [{**asdict(segment), "representatives": segment.representatives} for segment in self.segments],
        }

    def to_json(self) -> str:
        """Write segments.json: UTF-8 text, finite numbers only."""
        return json.dumps(self.to_document(), ensure_ascii=False, indent=1, allow_nan=False)


def describe(
    statistics: SegmentStatistics,
    *,
    run_id: str,
    scaling: Scaling,
    pca: PcaModel,
    centroids: np.ndarray,
    elbow: Sequence[ElbowPoint] = (),
) -> SegmentsDocument:
    """Explain the segments of a run.

    Parameters
    ----------
    statistics
        Merged over all shards.
    scaling
        Of the whole run.
    pca
        The trained PCA; as many of its components as `centroids` has columns were kept.
    centroids
        (k, c) from the k-means artifact, in component space.
    elbow
        The curve of mean distances, if one was computed.
    """
    features = [
        describe_feature(name, scaling.minimum[i], scaling.maximum[i], whole=bool(statistics.whole[i]))
        for i, name in enumerate(scaling.features)
    ]
    profile = _Profile.of(statistics, scaling)
    traits = _traits(profile, features, statistics)
    silhouettes, overall = _silhouettes(statistics.sample, len(centroids))
    return SegmentsDocument(
        run_id=run_id,
        rows_read=scaling.rows_read,
        rows_dropped=scaling.rows_dropped,
        rows_labeled=statistics.rows,
        dropped_regions=scaling.dropped_regions,
        constant_features=scaling.constant_features,
        features=_summaries(profile, features, statistics, scaling),
        compositions=_compositions(features, scaling.original(statistics.sample_features)),
        num_components=len(pca.singular_values),
        singular_values=tuple(pca.singular_values.tolist()),
        explained_variance=tuple(pca.explained_variance.tolist()),
        components=_components(pca, centroids.shape[1], features),
        mean_squared_distance=statistics.mean_squared_distance,
        silhouette=overall,
        elbow=tuple(elbow),
        segments=_segments(
            statistics=statistics,
            scaling=scaling,
            pca=pca,
            centroids=centroids,
            features=features,
            profile=profile,
            traits=traits,
            silhouettes=silhouettes,
        ),
    )


@dataclass(frozen=True)
class _Profile:
    """Means and effect sizes: `mean` (k, d) and `all_mean`, `all_std` (d,) in original units."""

    mean: np.ndarray
    all_mean: np.ndarray
    all_std: np.ndarray
    effect: np.ndarray
    separation: np.ndarray

    @classmethod
    def of(cls, statistics: SegmentStatistics, scaling: Scaling) -> "_Profile":
        counts = statistics.counts[:, None]
        rows = max(statistics.rows, 1)
        all_mean = statistics.sums.sum(axis=0) / rows
        variance = np.maximum(statistics.squares.sum(axis=0) / rows - all_mean**2, 0)
        # An empty segment stands where all rows do: it departs in nothing.
        mean = np.where(counts > 0, statistics.sums / np.maximum(counts, 1), all_mean)
        apart = mean - all_mean
        std = np.sqrt(variance)
        varies = std > 1e-12
        between = (counts * apart**2).sum(axis=0) / rows
        return cls(
            mean=scaling.original(mean),
            all_mean=scaling.original(all_mean),
            all_std=std * scaling.range,
            effect=np.divide(apart, std, out=np.zeros_like(apart), where=varies),
            separation=np.divide(between, variance, out=np.zeros_like(between), where=varies),
        )


def _traits(profile: _Profile, features: list[Feature], statistics: SegmentStatistics) -> list[tuple[Trait, ...]]:
    """Each segment's traits, strongest first, without those that repeat a stronger one."""
    same = _same(statistics.sample_features)
    traits = []
    for effects, means in zip(profile.effect, profile.mean, strict=True):
        chosen: list[int] = []
        for i in np.argsort(-np.abs(effects), kind="stable").tolist():
            if abs(effects[i]) < TRAIT_EFFECT or len(chosen) == MAX_TRAITS:
                break
            if not features[i].is_error and not same[i, chosen].any():
                chosen.append(i)
        traits.append(tuple(_trait(features[i], means[i], profile.all_mean[i], effects[i]) for i in chosen))
    return traits


def _trait(feature: Feature, value: float, everywhere: float, effect: float) -> Trait:
    here = feature.value(value, against=everywhere)
    there = feature.value(everywhere, against=value)
    return Trait(
        feature=feature.name,
        value=float(value),
        all=float(everywhere),
        effect_size=float(effect),
        phrase=feature.phrase(effect),
        text=f"{feature.label} {here} (all: {there})",
    )


def _same(sample_features: np.ndarray) -> np.ndarray:
    """(d, d) True where two features tell the same: correlated 0.85 or more, either way."""
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.atleast_2d(np.corrcoef(sample_features, rowvar=False))
    same: np.ndarray = np.abs(np.nan_to_num(correlation)) >= SAME_CORRELATION
    return same


def _names(traits: Sequence[Sequence[Trait]]) -> list[str]:
    """Name every segment by its strongest traits, with as many more as distinctness asks for."""
    used = [min(NAME_TRAITS, len(own)) for own in traits]

    def phrases(segment: int) -> frozenset[str]:
        return frozenset(trait.phrase for trait in traits[segment][: used[segment]])

    for _ in range(MAX_TRAITS):
        sets = [phrases(segment) for segment in range(len(traits))]
        for segment, own in enumerate(traits):
            if sets.count(sets[segment]) > 1 and used[segment] < len(own):
                used[segment] += 1
    names = [
        ", ".join(trait.phrase for trait in own[:count]) or "near the average"
        for own, count in zip(traits, used, strict=True)
    ]
    sets = [phrases(segment) for segment in range(len(traits))]
    return [
        f"{name[:1].upper()}{name[1:]}" + (f" (segment {label})" if sets.count(sets[label]) > 1 else "")
        for label, name in enumerate(names)
    ]


def _silhouettes(sample: Rows, clusters: int) -> tuple[list[float | None], float | None]:
    """Mean silhouette of each segment and of all, over the sample; None where it is not defined."""
    present = len(np.unique(sample.labels))
    if not 2 <= present < len(sample):
        return [None] * clusters, None
    values = _silhouette_of_rows(sample.components.astype(np.float64), sample.labels, clusters)
    means = [
        float(values[sample.labels == label].mean()) if (sample.labels == label).any() else None
        for label in range(clusters)
    ]
    return means, float(values.mean())


def _silhouette_of_rows(points: np.ndarray, labels: np.ndarray, clusters: int) -> np.ndarray:
    """(n,) silhouettes of points (n, c): as scikit-learn's, which takes longer to import than this to run."""
    member = (labels[:, None] == np.arange(clusters)).astype(np.float64)  # (n, k)
    counts = member.sum(axis=0)
    sums = np.concatenate(
        [distances(points[start : start + _BLOCK], points) @ member for start in range(0, len(points), _BLOCK)]
    )
    own = np.arange(len(points)), labels
    inside = sums[own] / np.maximum(counts[labels] - 1, 1)  # a row is no neighbour of its own
    others = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    others[own] = np.inf
    outside = others.min(axis=1)
    larger = np.maximum(inside, outside)
    values = np.divide(outside - inside, larger, out=np.zeros(len(points)), where=larger > 0)
    return np.where(counts[labels] > 1, values, 0.0)  # by definition, for a row alone


def _summaries(
    profile: _Profile, features: list[Feature], statistics: SegmentStatistics, scaling: Scaling
) -> tuple[FeatureSummary, ...]:
    quartiles = scaling.original(np.percentile(statistics.sample_features, [25, 50, 75], axis=0))
    return tuple(
        FeatureSummary(
            feature=feature.name,
            label=feature.label,
            kind=feature.kind.value,
            mean=float(profile.all_mean[i]),
            std=float(profile.all_std[i]),
            minimum=float(scaling.minimum[i]),
            first_quartile=float(quartiles[0, i]),
            median=float(quartiles[1, i]),
            third_quartile=float(quartiles[2, i]),
            maximum=float(scaling.maximum[i]),
            separation=float(profile.separation[i]),
        )
        for i, feature in enumerate(features)
    )


def _compositions(features: list[Feature], values: np.ndarray) -> tuple[tuple[str, ...], ...]:
    """Find neighbouring share columns that add up to 100 % in every row, such as the ways to work.

    Longest first from the left; "add up" allows for rounding and a small rest: the sample's sums have a
    median within 3 of 100 and a standard deviation below 3.
    """
    groups = []
    start = 0
    while start < len(features):
        stop = start
        while stop < len(features) and features[stop].kind is Kind.SHARE:
            stop += 1
        for end in range(stop, start + 2, -1):
            total = values[:, start:end].sum(axis=1)
            if abs(float(np.median(total)) - 100) <= 3 and float(total.std()) < 3:
                groups.append(tuple(feature.name for feature in features[start:end]))
                start = end
                break
        else:
            start += 1
    return tuple(groups)


def _components(pca: PcaModel, kept: int, features: list[Feature]) -> tuple[Component, ...]:
    squared = pca.singular_values**2
    return tuple(
        Component(
            component=f"c_{i + 1}",
            name=f"c_{i + 1}: {_makeup(pca.components[:, i], features)}",
            share_of_variance=float(squared[i] / squared.sum()),
            weights={f.name: float(w) for f, w in zip(features, pca.components[:, i], strict=True)},
        )
        for i in range(kept)
    )


def _makeup(weights: np.ndarray, features: list[Feature]) -> str:
    """Name a component by its heaviest features: "Poverty, Unemployment + / Income, Private work -"."""
    heaviest = np.argsort(-np.abs(weights), kind="stable")[:MAKEUP_FEATURES].tolist()
    telling = [i for i in heaviest if abs(weights[i]) >= 0.3 * abs(weights[heaviest[0]])]
    up = ", ".join(features[i].label for i in telling if weights[i] > 0)
    down = ", ".join(features[i].label for i in telling if weights[i] < 0)
    return " / ".join(side for side in (up and f"{up} +", down and f"{down} \u2212") if side)


def _segments(
    *,
    statistics: SegmentStatistics,
    scaling: Scaling,
    pca: PcaModel,
    centroids: np.ndarray,
    features: list[Feature],
    profile: _Profile,
    traits: list[tuple[Trait, ...]],
    silhouettes: list[float | None],
) -> tuple[Segment, ...]:
    centroid_features = scaling.original(pca.features_at(centroids))
    between = distances(centroids, centroids)
    np.fill_diagonal(between, np.inf)
    people = population_feature(features)
    population: list[int | None] = [None] * len(centroids)
    if people is not None:
        i = scaling.features.index(people.name)
        population = [round(float(total)) for total in profile.mean[:, i] * statistics.counts]
    names = _names(traits)
    return tuple(
        Segment(
            label=label,
            name=names[label],
            size=int(statistics.counts[label]),
            share=float(statistics.counts[label] / max(statistics.rows, 1)),
            population=population[label],
            centroid_components=tuple(centroids[label].tolist()),
            centroid_features=_by_name(scaling, centroid_features[label]),
            mean_features=_by_name(scaling, profile.mean[label]),
            traits=traits[label],
            typical=_places(statistics.nearest, label),
            outliers=_places(statistics.farthest, label),
            silhouette=silhouettes[label],
            closest_segment=int(between[label].argmin()) if len(centroids) > 1 else None,
        )
        for label in range(len(centroids))
    )


def _by_name(scaling: Scaling, values: np.ndarray) -> dict[str, float]:
    return dict(zip(scaling.features, values.tolist(), strict=True))


def _places(rows: Rows, label: int) -> tuple[Place, ...]:
    own = rows.take(np.flatnonzero(rows.labels == label)[:EXEMPLARS])
    return tuple(Place(id=own.ids[i], name=name, distance=float(own.distances[i])) for i, name in enumerate(own.names))
