"""The content of segments.json, as Publish writes it and as the report and the command line read it."""

from typing import TypedDict

from jobs.census.scaler import ConstantFeature, DroppedRegion


class Trait(TypedDict):
    """A feature that sets a segment apart.

    `value` and `all` are its means over the segment's rows and over all rows, in original units; `effect_size` is
    their difference in standard deviations over all rows.
    """

    feature: str
    value: float
    all: float
    effect_size: float
    phrase: str
    text: str


class Place(TypedDict):
    """A row that serves as an example of its segment, and its distance to the centroid in component space."""

    id: str
    name: str
    distance: float


class Segment(TypedDict):
    """One segment.

    `label` is its number within the series, and `centroid` the index of its centroid in the artifact; the two are equal
    in the first run of a series. `share` is its part (0..1) of the labeled rows. `centroid_features` is
    the centroid mapped back through PCA and scaling to original units; `mean_features` is the mean of the segment's
    rows, which differs from it by what the dropped components held. `representatives` names the typical rows.
    `stability` is the mean Jaccard coefficient of the segment and its most similar cluster in a bootstrap refit.
    """

    label: int
    centroid: int
    name: str
    size: int
    share: float
    population: int | None
    centroid_components: list[float]
    centroid_features: dict[str, float]
    mean_features: dict[str, float]
    traits: list[Trait]
    typical: list[Place]
    outliers: list[Place]
    silhouette: float | None
    stability: float | None
    closest_segment: int | None
    representatives: list[str]


class Component(TypedDict):
    """A kept component: its name lists its heaviest features, `share_of_variance` (0..1) is its own."""

    component: str
    name: str
    share_of_variance: float
    weights: dict[str, float]


class FeatureSummary(TypedDict):
    """A feature over all rows in original units; its quartiles and deciles are those of the sample.

    `decile_edges` are the distinct deciles; `decile_shares` are the shares (0..1) of the sample in the bins between
    them, one more than there are edges, each bin with its upper edge.
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
    decile_edges: list[float]
    decile_shares: list[float]


class RowCounts(TypedDict):
    """Rows that were read from the CSV, dropped for an empty cell, and labeled."""

    read: int
    dropped: int
    labeled: int


class PcaSummary(TypedDict):
    """The trained PCA.

    `singular_values` come largest first; `explained_variance` is the cumulative share (0..1) of the variance that the
    first 1, 2, ... `num_components` components explain.
    """

    num_components: int
    singular_values: list[float]
    explained_variance: list[float]
    components_kept: int
    makeup: list[Component]


class ElbowEntry(TypedDict):
    """The quality of a clustering by `k`, on an even sample; see `jobs.segments.cluster_count.ElbowPoint`."""

    k: int
    mean_distance: float
    adjusted_rand: float
    silhouette: float | None


class Border(TypedDict):
    """The border of two segments, of the labels `segments`.

    `unstable_rows` is the number of rows with either label and the other one as the runner-up that keep their label in
    fewer than 90 % of the refits; `nearest` names the rows with the smallest margins.
    """

    segments: list[int]
    unstable_rows: int
    nearest: list[str]


class StabilitySummary(TypedDict):
    """How much the labels depend on which rows were drawn.

    `refits` bootstrap samples of `sample_rows` rows were clustered afresh and aligned with the segments;
    `adjusted_rand` is the mean adjusted Rand index of their labels and the final ones. `unstable_rows` keep their
    label in fewer than 90 % of the refits. `borders` has the pairs of segments with such rows, the longest list first.
    """

    refits: int
    sample_rows: int
    adjusted_rand: float
    unstable_rows: int
    borders: list[Border]


class KMeansSummary(TypedDict):
    """The trained k-means; distances are Euclidean, in component space.

    `steadier_k` is a number of clusters within 2 of `k` whose adjusted Rand index is much higher, if there is one.
    """

    k: int
    mean_squared_distance: float
    silhouette: float | None
    elbow: list[ElbowEntry]
    steadier_k: int | None
    stability: StabilitySummary


class SegmentsDocument(TypedDict):
    """The content of segments.json."""

    run_id: str
    rows: RowCounts
    dropped_regions: list[DroppedRegion]
    constant_features: list[ConstantFeature]
    features: list[str]
    feature_summaries: list[FeatureSummary]
    compositions: list[list[str]]
    pca: PcaSummary
    kmeans: KMeansSummary
    segments: list[Segment]
