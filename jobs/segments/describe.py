"""The description of a run's segments, computed from statistics of all rows and from the trained models."""

from collections.abc import Sequence

import numpy as np

from jobs.segments.assign import SegmentModel
from jobs.segments.cluster_count import ElbowPoint, steadier_neighbour
from jobs.segments.compositions import find_compositions
from jobs.segments.deciles import FLOAT32_TOLERANCE, bin_shares, decile_edges
from jobs.segments.document import (
    Border,
    Component,
    ElbowEntry,
    FeatureSummary,
    KMeansSummary,
    PcaSummary,
    Place,
    RowCounts,
    Segment,
    SegmentsDocument,
    StabilitySummary,
)
from jobs.segments.kmeans import distances
from jobs.segments.naming import find_traits, name_segments
from jobs.segments.pca import PcaModel
from jobs.segments.profiles import Profiles
from jobs.segments.rows import EXEMPLARS, Rows
from jobs.segments.scaling import Scaling
from jobs.segments.silhouettes import mean_silhouettes
from jobs.segments.stability import Stability
from jobs.segments.statistics import SegmentStatistics
from jobs.segments.wording import Feature, describe_feature, population_feature

_MAKEUP_FEATURES = 6
_SMALLEST_MAKEUP_WEIGHT = 0.3  # of the heaviest feature's weight


def describe(
    statistics: SegmentStatistics,
    *,
    run_id: str,
    scaling: Scaling,
    model: SegmentModel,
    stability: Stability,
    elbow: Sequence[ElbowPoint] = (),
    numbers: Sequence[int] | None = None,
) -> SegmentsDocument:
    """Describe the segments of a run.

    Parameters
    ----------
    statistics
        Merged over all shards.
    scaling
        Of the whole run; its features are those of the model.
    model
        The model that labeled the rows. Its own scaling is another one if an earlier run trained it.
    stability
        The bootstrap refits of the same centroids.
    elbow
        The quality of clusterings for several k, if they were computed.
    numbers
        The segment's number within the series for each centroid: its label. Without it, labels are 0..k-1.
    """
    pca, centroids = model.pca, model.centroids
    numbers = range(len(centroids)) if numbers is None else numbers
    features = [
        describe_feature(name, scaling.minimum[i], scaling.maximum[i], whole=bool(statistics.whole[i]))
        for i, name in enumerate(scaling.features)
    ]
    profiles = Profiles.of(statistics, scaling)
    silhouettes, overall_silhouette = mean_silhouettes(statistics.sample, len(centroids))
    sample_values = scaling.inverse_transform(statistics.sample_features)
    return SegmentsDocument(
        run_id=run_id,
        rows=RowCounts(read=scaling.rows_read, dropped=scaling.rows_dropped, labeled=statistics.rows),
        dropped_regions=list(scaling.dropped_regions),
        constant_features=list(scaling.constant_features),
        features=list(scaling.features),
        feature_summaries=_summaries(features, profiles, sample_values, scaling),
        compositions=find_compositions(features, sample_values),
        pca=_pca_summary(pca, centroids.shape[1], features),
        kmeans=KMeansSummary(
            k=len(centroids),
            mean_squared_distance=statistics.mean_squared_distance,
            silhouette=overall_silhouette,
            elbow=[_elbow_entry(point) for point in elbow],
            steadier_k=steadier.k if (steadier := steadier_neighbour(elbow, len(centroids))) else None,
            stability=_stability_summary(stability, statistics, numbers),
        ),
        segments=_segments(
            statistics=statistics,
            model=model,
            features=features,
            profiles=profiles,
            silhouettes=silhouettes,
            stability=stability,
            numbers=numbers,
        ),
    )


def _elbow_entry(point: ElbowPoint) -> ElbowEntry:
    return ElbowEntry(
        k=point.k,
        mean_distance=point.mean_distance,
        adjusted_rand=point.adjusted_rand,
        silhouette=point.silhouette,
    )


def _stability_summary(stability: Stability, statistics: SegmentStatistics, numbers: Sequence[int]) -> StabilitySummary:
    unstable = statistics.unstable + statistics.unstable.T
    borders = [
        Border(
            segments=sorted((numbers[one], numbers[other])),
            unstable_rows=int(unstable[one, other]),
            nearest=_between(statistics, one, other),
        )
        for one in range(len(unstable))
        for other in range(one + 1, len(unstable))
        if unstable[one, other]
    ]
    return StabilitySummary(
        refits=len(stability.refits),
        sample_rows=stability.sample_rows,
        adjusted_rand=stability.adjusted_rand,
        unstable_rows=int(statistics.unstable.sum()),
        borders=sorted(borders, key=lambda border: -border["unstable_rows"]),
    )


def _between(statistics: SegmentStatistics, one: int, other: int) -> list[str]:
    rows = statistics.borders
    pair = np.sort(np.stack([rows.labels, rows.runners_up]), axis=0)
    return rows.take(np.flatnonzero((pair[0] == one) & (pair[1] == other))).names


def _summaries(
    features: list[Feature], profiles: Profiles, sample_values: np.ndarray, scaling: Scaling
) -> list[FeatureSummary]:
    quartiles = np.percentile(sample_values, [25, 50, 75], axis=0)
    edges = [decile_edges(values) for values in sample_values.T]
    return [
        FeatureSummary(
            feature=feature.name,
            label=feature.label,
            kind=feature.kind.value,
            mean=float(profiles.overall_mean[i]),
            std=float(profiles.overall_std[i]),
            minimum=float(scaling.minimum[i]),
            first_quartile=float(quartiles[0, i]),
            median=float(quartiles[1, i]),
            third_quartile=float(quartiles[2, i]),
            maximum=float(scaling.maximum[i]),
            separation=float(profiles.separation[i]),
            decile_edges=edges[i].tolist(),
            decile_shares=bin_shares(
                sample_values[:, i], edges[i], FLOAT32_TOLERANCE * float(scaling.range[i])
            ).tolist(),
        )
        for i, feature in enumerate(features)
    ]


def _pca_summary(pca: PcaModel, kept: int, features: list[Feature]) -> PcaSummary:
    return PcaSummary(
        num_components=len(pca.singular_values),
        singular_values=pca.singular_values.tolist(),
        explained_variance=pca.cumulative_explained_variance_ratio.tolist(),
        components_kept=kept,
        makeup=[
            Component(
                component=f"c_{i + 1}",
                name=f"c_{i + 1}: {_makeup(pca.components[:, i], features)}",
                share_of_variance=float(pca.explained_variance_ratio[i]),
                weights={f.name: float(w) for f, w in zip(features, pca.components[:, i], strict=True)},
            )
            for i in range(kept)
        ],
    )


def _makeup(weights: np.ndarray, features: list[Feature]) -> str:
    """Name a component by its heaviest features: "Poverty, Unemployment + / Income, Private work -"."""
    heaviest = np.argsort(-np.abs(weights), kind="stable")[:_MAKEUP_FEATURES].tolist()
    listed = [i for i in heaviest if abs(weights[i]) >= _SMALLEST_MAKEUP_WEIGHT * abs(weights[heaviest[0]])]
    positive = ", ".join(features[i].label for i in listed if weights[i] > 0)
    negative = ", ".join(features[i].label for i in listed if weights[i] < 0)
    return " / ".join(side for side in (positive and f"{positive} +", negative and f"{negative} \u2212") if side)


def _segments(
    *,
    statistics: SegmentStatistics,
    model: SegmentModel,
    features: list[Feature],
    profiles: Profiles,
    silhouettes: list[float | None],
    stability: Stability,
    numbers: Sequence[int],
) -> list[Segment]:
    traits = find_traits(profiles, features, statistics.sample_features)
    names = name_segments(traits, numbers)
    populations = _populations(features, profiles, statistics)
    centroids, centroid_features = model.centroids, model.centroid_features
    segments = []
    for index, own_traits in enumerate(traits):
        typical = _places(statistics.nearest, index)
        size = int(statistics.counts[index])
        closest = _closest_centroid(centroids, index)
        segments.append(
            Segment(
                label=numbers[index],
                centroid=index,
                name=names[index],
                size=size,
                share=size / max(statistics.rows, 1),
                population=populations[index],
                centroid_components=centroids[index].tolist(),
                centroid_features=dict(zip(model.scaling.features, centroid_features[index].tolist(), strict=True)),
                mean_features=dict(zip(model.scaling.features, profiles.mean[index].tolist(), strict=True)),
                traits=own_traits,
                typical=typical,
                outliers=_places(statistics.farthest, index),
                silhouette=silhouettes[index],
                stability=_finite(stability.segments[index]),
                closest_segment=None if closest is None else numbers[closest],
                representatives=[place["name"] for place in typical],
            )
        )
    return segments


def _populations(features: list[Feature], profiles: Profiles, statistics: SegmentStatistics) -> list[int | None]:
    """Return the number of people in each segment, or None for each if no column counts people."""
    people = population_feature(features)
    if people is None:
        return [None] * len(statistics.counts)
    return [round(float(total)) for total in profiles.mean[:, features.index(people)] * statistics.counts]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _closest_centroid(centroids: np.ndarray, index: int) -> int | None:
    """Return the index of the centroid nearest to another, or None if there is only one."""
    to_others = distances(centroids[[index]], centroids)[0]
    to_others[index] = np.inf
    return int(to_others.argmin()) if len(centroids) > 1 else None


def _places(rows: Rows, index: int) -> list[Place]:
    own = rows.take(np.flatnonzero(rows.labels == index)[:EXEMPLARS])
    return [Place(id=own.ids[i], name=name, distance=float(own.distances[i])) for i, name in enumerate(own.names)]
