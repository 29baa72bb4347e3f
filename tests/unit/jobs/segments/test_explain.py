"""Why is a county in its segment: from the run's files, checked against the data."""

import json
from dataclasses import replace

import numpy as np
import pytest

from jobs.sagemaker import recordio
from jobs.segments.document import SegmentsDocument
from jobs.segments.explain import (
    County,
    UnknownCountyError,
    compare_counties,
    explain_county,
    features_of,
    find_county,
    read_counties,
)
from jobs.segments.kmeans import distances
from jobs.segments.labels import header, labeled_rows
from jobs.segments.rows import Certainty
from tests.census_run import Run, real_run


@pytest.fixture(scope="module")
def real() -> Run:
    return real_run()


@pytest.fixture(scope="module")
def segments(real: Run) -> SegmentsDocument:
    document: SegmentsDocument = json.loads(json.dumps(real.document))
    return document


@pytest.fixture(scope="module")
def counties(real: Run) -> list[County]:
    rows = real.statistics.listed
    assert rows is not None
    certainty = Certainty(rows.runners_up, rows.margins, rows.stabilities)
    part = labeled_rows(rows.regions, rows.components, rows.labels, rows.distances, certainty, numbers=np.arange(8))
    return read_counties((header(7) + part).decode())


@pytest.fixture(scope="module")
def shards(real: Run) -> list[bytes]:
    return [recordio.encode(real.scaled[start : start + 1500]) for start in range(0, len(real.scaled), 1500)]


class TestFinding:
    @pytest.mark.parametrize("wanted", ["California-San Francisco", "california-san francisco", "6075"])
    def test_a_county_is_found_by_name_or_id(self, counties: list[County], wanted: str) -> None:
        assert find_county(counties, wanted).name == "California-San Francisco"

    def test_accents_need_not_be_typed(self, counties: list[County]) -> None:
        assert find_county(counties, "Puerto Rico-Anasco").name == "Puerto Rico-Añasco"

    @pytest.mark.parametrize("wanted", ["San Francisco", "Californa-San Fransisco"])
    def test_a_near_miss_is_answered_with_suggestions(self, counties: list[County], wanted: str) -> None:
        with pytest.raises(UnknownCountyError, match="did you mean California-San Francisco"):
            find_county(counties, wanted)

    def test_a_shared_name_is_answered_with_its_ids(self) -> None:
        twins = [County(i, str(7 + i), "Ohio-Tract", (0.0,), 0, 0.0, 1, 1.0) for i in range(2)]
        with pytest.raises(UnknownCountyError) as raised:
            find_county(twins, "Ohio-Tract")
        assert raised.value.suggestions == ("7", "8")


class TestFeatures:
    @pytest.mark.parametrize("index", [0, 1499, 1500, 3217])
    def test_a_rows_features_come_back_in_their_own_units(self, real: Run, shards: list[bytes], index: int) -> None:
        features = features_of(index, real.scaling, shards)
        np.testing.assert_allclose(list(features.values()), real.values[index], rtol=1e-5, atol=0.7)

    def test_a_row_beyond_the_shards_is_refused(self, real: Run, shards: list[bytes]) -> None:
        with pytest.raises(IndexError, match="beyond the 3218 rows"):
            features_of(3218, real.scaling, shards)


class TestExplaining:
    def test_distances_are_to_the_own_and_the_next_centroid(
        self, real: Run, counties: list[County], segments: SegmentsDocument, shards: list[bytes]
    ) -> None:
        county = find_county(counties, "Alabama-Autauga")
        explained = explain_county(county, features_of(county.index, real.scaling, shards), segments)
        nearest = np.sort(distances(real.components[county.index][None], real.centroids)[0])
        assert county.label == 3
        assert explained.distance == pytest.approx(0.270462, abs=1e-5)
        assert [explained.distance, explained.runner_up_distance] == pytest.approx(nearest[:2].tolist(), abs=1e-6)
        assert explained.margin == pytest.approx(nearest[1] - nearest[0], abs=1e-6)
        assert explained.runner_up_name == real.document["segments"][explained.runner_up]["name"]

    def test_the_segments_traits_are_told_as_the_county_has_them(
        self, real: Run, counties: list[County], segments: SegmentsDocument, shards: list[bytes]
    ) -> None:
        county = find_county(counties, "California-San Francisco")
        explained = explain_county(county, features_of(county.index, real.scaling, shards), segments)
        own = real.document["segments"][county.label]
        assert [one.feature for one in explained.traits] == [trait["feature"] for trait in own["traits"]]
        for one in (*explained.traits, *explained.departures):
            assert one.value == pytest.approx(real.table[one.feature].tolist()[county.index], rel=1e-5, abs=0.7)
            assert one.segment == pytest.approx(own["mean_features"][one.feature])
        assert explained.departures[0].feature in {"Transit", "Asian"}

    def test_a_county_is_certain_or_between_two_segments(
        self, real: Run, counties: list[County], segments: SegmentsDocument, shards: list[bytes]
    ) -> None:
        listed = real.statistics.listed
        assert listed is not None
        for index in (int(listed.stabilities.argmin()), int(listed.stabilities.argmax())):
            county = counties[index]
            explained = explain_county(county, features_of(index, real.scaling, shards), segments)
            assert explained.stability == pytest.approx(listed.stabilities[index])
            assert explained.runner_up == listed.runners_up[index]

    @pytest.mark.parametrize("name", ["Alabama-Autauga", "California-San Francisco", "Puerto Rico-Culebra"])
    def test_with_a_feature_changed_as_listed_the_county_is_as_near_to_the_runner_up(
        self, real: Run, counties: list[County], segments: SegmentsDocument, shards: list[bytes], name: str
    ) -> None:
        county = find_county(counties, name)
        features = features_of(county.index, real.scaling, shards)
        explained = explain_county(county, features, segments)
        assert explained.switches
        for switch in explained.switches:
            column = real.scaling.features.index(switch.feature)
            scaled = real.scaled[county.index].astype(float)
            scaled[column] = (switch.needed - real.scaling.minimum[column]) / real.scaling.range[column]
            assert 0 <= scaled[column] <= 1
            moved = (scaled - real.pca.mean) @ real.pca.components[:, :7]
            to_centroids = distances(moved[None], real.centroids)[0]
            assert to_centroids[county.label] == pytest.approx(to_centroids[county.runner_up], abs=1e-4)
        apart = [abs(switch.apart) for switch in explained.switches]
        assert apart == sorted(apart)

    def test_with_one_segment_nothing_has_to_differ(
        self, real: Run, counties: list[County], segments: SegmentsDocument, shards: list[bytes]
    ) -> None:
        alone = replace(counties[0], runner_up=counties[0].label)
        assert explain_county(alone, features_of(0, real.scaling, shards), segments).switches == ()

    def test_two_counties_differ_most_first(
        self, real: Run, counties: list[County], segments: SegmentsDocument, shards: list[bytes]
    ) -> None:
        one, other = (find_county(counties, name) for name in ("Alabama-Autauga", "New York-New York"))
        laid = compare_counties(
            one,
            features_of(one.index, real.scaling, shards),
            other,
            features_of(other.index, real.scaling, shards),
            segments,
        )
        apart = [abs(difference.apart) for difference in laid.differences]
        assert apart == sorted(apart, reverse=True)
        assert laid.differences[0].feature == "Transit"
        assert laid.differences[0].text == "Transit 0.1 % and 59.2 % (all: 1.0 %)"
        expected = np.linalg.norm(real.components[one.index] - real.components[other.index])
        assert laid.distance == pytest.approx(expected, abs=1e-6)
