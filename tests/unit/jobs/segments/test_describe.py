"""Segments explained: on the real file every statement is checked against the data itself."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from jobs.segments.document import Segment
from jobs.segments.kmeans import distances
from jobs.segments.naming import LARGEST_CORRELATION, SMALLEST_EFFECT_SIZE
from jobs.segments.rows import BORDER_ROWS
from tests.census_run import RECORDED_SIZES, Run, real_run, segment_table


@pytest.fixture(scope="module")
def real() -> Run:
    return real_run()


def members(run: Run, segment: Segment) -> pd.DataFrame:
    own: pd.DataFrame = run.table[run.labels == segment["label"]]
    return own


def to_json(run: Run) -> str:
    return json.dumps(run.document, allow_nan=False)


class TestTheRealFile:
    def test_the_recorded_centroids_give_the_recorded_sizes(self, real: Run) -> None:
        assert [segment["size"] for segment in real.document["segments"]] == RECORDED_SIZES

    def test_shares_are_sizes_over_all_labeled_rows(self, real: Run) -> None:
        shares = [segment["share"] for segment in real.document["segments"]]
        assert shares == pytest.approx([size / 3218 for size in RECORDED_SIZES])

    def test_each_components_share_of_variance_is_its_step_of_the_cumulative_one(self, real: Run) -> None:
        pca = real.document["pca"]
        shares = [component["share_of_variance"] for component in pca["makeup"]]
        assert np.cumsum(shares).tolist() == pytest.approx(pca["explained_variance"][:7])
        assert pca["explained_variance"][-1] == pytest.approx(1)
        assert shares == sorted(shares, reverse=True)

    def test_each_closest_segment_has_the_nearest_centroid(self, real: Run) -> None:
        for segment in real.document["segments"]:
            to_others = np.linalg.norm(real.centroids - real.centroids[segment["label"]], axis=1)
            assert segment["closest_segment"] == np.argsort(to_others)[1]

    def test_separation_is_the_share_of_variance_between_segments(self, real: Run) -> None:
        for summary in real.document["feature_summaries"][:5]:
            column = real.table[summary["feature"]]
            between = column.groupby(real.labels).transform("mean").var(ddof=0)
            assert summary["separation"] == pytest.approx(between / column.var(ddof=0), abs=1e-4)

    def test_eight_names_are_distinct(self, real: Run) -> None:
        assert len({segment["name"].lower() for segment in real.document["segments"]}) == 8

    def test_names_are_short(self, real: Run) -> None:
        assert max(len(segment["name"]) for segment in real.document["segments"]) <= 60

    @pytest.mark.parametrize("label", range(8))
    def test_each_trait_is_true_to_the_data(self, real: Run, label: int) -> None:
        segment = real.document["segments"][label]
        own = members(real, segment)
        assert segment["traits"]
        for trait in segment["traits"]:
            column = real.table[trait["feature"]]
            assert trait["value"] == pytest.approx(own[trait["feature"]].mean(), rel=1e-5, abs=1e-4)
            assert trait["all"] == pytest.approx(column.mean(), rel=1e-5, abs=1e-4)
            effect = (own[trait["feature"]].mean() - column.mean()) / column.std(ddof=0)
            assert trait["effect_size"] == pytest.approx(effect, abs=1e-3)
            assert abs(effect) >= SMALLEST_EFFECT_SIZE

    @pytest.mark.parametrize("label", range(8))
    def test_each_traits_words_say_its_numbers(self, real: Run, label: int) -> None:
        for trait in real.document["segments"][label]["traits"]:
            written = re.fullmatch(r"(.+) \$?([\d,.]+)(?: %| min)? \(all: \$?([\d,.]+)(?: %| min)?\)", trait["text"])
            assert written, trait["text"]
            here, there = (float(number.replace(",", "")) for number in written.groups()[1:])
            assert here == pytest.approx(trait["value"], rel=0.01, abs=0.5)
            assert there == pytest.approx(trait["all"], rel=0.01, abs=0.5)
            assert (here > there) == (trait["effect_size"] > 0)

    @pytest.mark.parametrize("label", range(8))
    def test_each_name_says_its_strongest_traits(self, real: Run, label: int) -> None:
        segment = real.document["segments"][label]
        phrases = [trait["phrase"] for trait in segment["traits"]]
        named = segment["name"].lower().split(", ")
        assert named == [phrase.lower() for phrase in phrases[: len(named)]]
        assert len(named) >= 2
        effects = [abs(trait["effect_size"]) for trait in segment["traits"]]
        assert effects == sorted(effects, reverse=True)

    @pytest.mark.parametrize("label", range(8))
    def test_the_words_high_and_low_follow_the_data(self, real: Run, label: int) -> None:
        segment = real.document["segments"][label]
        for trait in segment["traits"]:
            up = members(real, segment)[trait["feature"]].mean() > real.table[trait["feature"]].mean()
            words = {"high", "large", "long"} if up else {"low", "small", "short"}
            assert words & set(trait["phrase"].split())
            assert ("very" in trait["phrase"].split()) == (abs(trait["effect_size"]) >= 2)

    def test_no_trait_repeats_another(self, real: Run) -> None:
        for segment in real.document["segments"]:
            columns = real.table[[trait["feature"] for trait in segment["traits"]]]
            correlation = np.abs(np.corrcoef(columns.to_numpy(), rowvar=False)) - np.eye(columns.shape[1])
            assert correlation.max() < LARGEST_CORRELATION

    def test_margins_of_error_are_no_traits(self, real: Run) -> None:
        assert not [
            t for segment in real.document["segments"] for t in segment["traits"] if t["feature"].endswith("Err")
        ]

    def test_populations_are_the_sums_of_their_counties(self, real: Run) -> None:
        for segment in real.document["segments"]:
            assert segment["population"] == pytest.approx(members(real, segment)["TotalPop"].sum(), rel=1e-6)

    def test_representatives_are_nearest_and_outliers_farthest(self, real: Run) -> None:
        own = distances(real.components, real.centroids).min(axis=1)
        names = (real.table["State"] + "-" + real.table["County"]).to_numpy()
        for segment in real.document["segments"]:
            rows = np.flatnonzero(real.labels == segment["label"])
            ordered = names[rows[np.argsort(own[rows], kind="stable")]]
            assert segment["representatives"] == ordered[:8].tolist()
            assert [place["name"] for place in segment["outliers"]] == ordered[::-1][:8].tolist()

    def test_silhouettes_are_scikit_learns(self, real: Run) -> None:
        from sklearn.metrics import silhouette_samples

        expected = silhouette_samples(real.components.astype(float), real.labels)
        assert real.document["kmeans"]["silhouette"] == pytest.approx(expected.mean(), abs=1e-9)
        assert real.document["segments"][2]["silhouette"] == pytest.approx(expected[real.labels == 2].mean(), abs=1e-9)

    def test_mean_squared_distance_is_the_recorded_runs(self, real: Run) -> None:
        assert real.document["kmeans"]["mean_squared_distance"] == pytest.approx(0.10756005, abs=1e-6)

    def test_seven_components_explain_what_they_did(self, real: Run) -> None:
        assert real.document["pca"]["explained_variance"][6] == pytest.approx(0.80167246, abs=1e-6)
        assert real.pca.components_to_keep(0.8) == 7

    def test_centroids_map_back_near_their_segments_means(self, real: Run) -> None:
        for segment in real.document["segments"]:
            for feature in ("Poverty", "White", "Income"):
                spread = real.table[feature].std()
                assert segment["centroid_features"][feature] == pytest.approx(
                    segment["mean_features"][feature], abs=0.35 * spread
                )

    def test_the_borders_with_the_most_unstable_rows_are_first(self, real: Run) -> None:
        stability = real.document["kmeans"]["stability"]
        rows = [border["unstable_rows"] for border in stability["borders"]]
        assert len(set(rows)) > 1
        assert rows == sorted(rows, reverse=True)
        assert sum(rows) == stability["unstable_rows"]

    def test_the_nearest_rows_of_a_border_lie_between_its_segments(self, real: Run) -> None:
        rows = real.statistics.listed
        assert rows is not None
        pairs = np.sort(np.stack([rows.labels, rows.runners_up], axis=1), axis=1)
        for border in real.document["kmeans"]["stability"]["borders"]:
            between = np.flatnonzero((pairs == border["segments"]).all(axis=1))
            nearest = between[np.argsort(rows.margins[between])][: len(border["nearest"])]
            assert border["nearest"] == [rows.names[row] for row in nearest]
            assert len(border["nearest"]) == min(BORDER_ROWS, len(between))

    def test_columns_that_add_up_to_100_percent_are_found(self, real: Run) -> None:
        assert [group[0] for group in real.document["compositions"]] == [
            "Hispanic",
            "Professional",
            "Drive",
            "PrivateWork",
        ]
        assert real.document["compositions"][2] == ["Drive", "Carpool", "Transit", "Walk", "OtherTransp", "WorkAtHome"]

    def test_features_are_summarised_as_pandas_does(self, real: Run) -> None:
        expected = real.table["Poverty"].describe()
        found = next(summary for summary in real.document["feature_summaries"] if summary["feature"] == "Poverty")
        assert [
            found["mean"],
            found["minimum"],
            found["first_quartile"],
            found["median"],
            found["third_quartile"],
        ] == pytest.approx(expected[["mean", "min", "25%", "50%", "75%"]].tolist(), abs=1e-4)
        assert found["std"] == pytest.approx(real.table["Poverty"].std(ddof=0), abs=1e-4)

    def test_components_are_named_by_their_heaviest_features(self, real: Run) -> None:
        assert real.document["pca"]["makeup"][0]["name"] == (
            "c_1: White + / Hispanic, Child poverty, Poverty, Unemployment, Black \u2212"
        )

    def test_a_component_is_not_named_by_features_of_little_weight(self, real: Run) -> None:
        labels = {each["feature"]: each["label"] for each in real.document["feature_summaries"]}
        left_out = 0
        for component in real.document["pca"]["makeup"]:
            named = re.sub(r"^c_\d+: | [+\u2212]", "", component["name"]).replace(" / ", ", ").split(", ")
            weights = {labels[feature]: abs(weight) for feature, weight in component["weights"].items()}
            heaviest = sorted(weights, key=lambda label: -weights[label])[: len(named)]
            assert set(named) == set(heaviest)
            assert min(weights[label] for label in named) >= 0.3 * max(weights.values())
            left_out += len(named) < 6
        assert left_out

    def test_segments_json_follows_the_contract(self, real: Run) -> None:
        document = json.loads(to_json(real))
        assert document["rows"] == {"read": 3220, "dropped": 2, "labeled": 3218}
        assert [region["name"] for region in document["dropped_regions"]] == ["Hawaii-Kalawao", "Texas-Loving"]
        assert document["features"] == list(real.table.columns[3:])
        assert document["pca"]["num_components"] == 33
        assert document["pca"]["singular_values"] == sorted(document["pca"]["singular_values"], reverse=True)
        assert document["pca"]["components_kept"] == len(document["pca"]["makeup"]) == 7
        assert document["pca"]["makeup"][0]["component"] == "c_1"
        assert set(document["pca"]["makeup"][0]["weights"]) == set(document["features"])
        assert document["kmeans"]["k"] == 8
        assert set(document["kmeans"]["elbow"][0]) == {"k", "mean_distance", "adjusted_rand", "silhouette"}
        assert document["kmeans"]["steadier_k"] == 6
        for label, segment in enumerate(document["segments"]):
            assert segment["label"] == label
            assert len(segment["centroid_components"]) == 7
            assert set(segment["centroid_features"]) == set(document["features"])
            assert isinstance(segment["representatives"][0], str)


def made_up(columns: dict[str, np.ndarray], clusters: int, kept: int = 2) -> Run:
    rows = len(next(iter(columns.values())))
    names = {"GEOID": range(rows), "State": ["Anywhere"] * rows, "County": [f"Tract {i}" for i in range(rows)]}
    return segment_table(pd.DataFrame({**names, **columns}), kept=kept, clusters=clusters)


@pytest.fixture(scope="module")
def sample() -> Run:
    rng = np.random.default_rng(1)
    side = np.arange(300) % 3
    return made_up(
        {
            "TotalPop": rng.integers(100, 999, 300).astype(float),
            "Poverty": (rng.uniform(0, 20, 300) + 30 * (side == 1)).round(1),
            "Walk": (rng.uniform(0, 20, 300) + 50 * (side == 2)).round(1),
        },
        clusters=3,
    )


class TestSampleSchema:
    """The statements about the real file, on columns that are made here."""

    def test_shares_and_populations_are_those_of_the_rows(self, sample: Run) -> None:
        for segment in sample.document["segments"]:
            own = members(sample, segment)
            assert segment["size"] == len(own)
            assert segment["share"] == pytest.approx(len(own) / 300)
            assert segment["population"] == own["TotalPop"].sum()

    def test_effect_sizes_and_separations_are_those_of_the_rows(self, sample: Run) -> None:
        for summary in sample.document["feature_summaries"]:
            column = sample.table[summary["feature"]]
            between = column.groupby(sample.labels).transform("mean").var(ddof=0)
            assert summary["separation"] == pytest.approx(between / column.var(ddof=0), abs=1e-4)
        for segment in sample.document["segments"]:
            for trait in segment["traits"]:
                column = sample.table[trait["feature"]]
                difference = members(sample, segment)[trait["feature"]].mean() - column.mean()
                assert trait["effect_size"] == pytest.approx(difference / column.std(ddof=0), abs=1e-3)

    def test_silhouettes_are_scikit_learns(self, sample: Run) -> None:
        from sklearn.metrics import silhouette_samples

        expected = silhouette_samples(sample.components.astype(float), sample.labels)
        assert sample.document["kmeans"]["silhouette"] == pytest.approx(expected.mean(), abs=1e-9)
        for segment in sample.document["segments"]:
            own = expected[sample.labels == segment["label"]].mean()
            assert segment["silhouette"] == pytest.approx(own, abs=1e-9)
            to_others = np.linalg.norm(sample.centroids - sample.centroids[segment["label"]], axis=1)
            assert segment["closest_segment"] == np.argsort(to_others)[1]


class TestAnySchema:
    RNG = np.random.default_rng(5)

    def test_unknown_features_make_names_too(self) -> None:
        rows = np.arange(200)
        run = made_up(
            {
                "X17": self.RNG.normal(size=200) + 9 * (rows % 2),
                "y": self.RNG.normal(size=200) / 9,
                "tree_cover_pct": self.RNG.uniform(0, 20, 200) + 60.5 * (rows // 2 % 2),
            },
            clusters=4,
        )
        names = {frozenset(segment["name"].lower().split(", ")) for segment in run.document["segments"]}
        sides = [(x, tree) for x in ("high x 17", "low x 17") for tree in ("high", "low")]
        assert names == {frozenset((x, f"{tree} tree-cover share")) for x, tree in sides}
        assert all(segment["population"] is None for segment in run.document["segments"])

    @pytest.mark.filterwarnings("ignore:Number of distinct clusters")
    def test_alike_segments_still_get_distinct_names(self) -> None:
        run = made_up({"A": np.arange(90.0) % 3, "B": np.arange(90.0) % 2}, clusters=6)
        names = [segment["name"] for segment in run.document["segments"]]
        assert len(set(names)) == 6

    def test_without_any_trait_a_segment_is_near_the_average(self) -> None:
        run = made_up({"A": self.RNG.normal(size=50), "B": self.RNG.normal(size=50)}, clusters=1)
        (segment,) = run.document["segments"]
        assert segment["name"] == "Near the average"
        assert segment["traits"] == []
        assert segment["silhouette"] is None
        assert segment["closest_segment"] is None
        assert json.loads(to_json(run))["kmeans"]["silhouette"] is None

    def test_an_empty_segment_is_said_to_be_average_and_breaks_nothing(self) -> None:
        columns = {"A": self.RNG.normal(size=40), "B": self.RNG.normal(size=40)}
        names = {"GEOID": range(40), "State": ["X"] * 40, "County": [str(i) for i in range(40)]}
        centroids = np.array([[0.0], [99.0]])
        table = pd.DataFrame({**names, **columns})
        run = segment_table(table, kept=1, centroids=centroids, signs=False)
        assert [segment["size"] for segment in run.document["segments"]] == [40, 0]
        assert run.document["segments"][1]["typical"] == []
        assert len({segment["name"] for segment in run.document["segments"]}) == 2
        json.loads(to_json(run))
