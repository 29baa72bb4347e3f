"""The synthetic census: the real schema and places, planted segments, invented but consistent figures."""

import csv
import io
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import MinMaxScaler

from local import synthetic_census as sample
from tests.reference import CENSUS_2015, needs_census


@pytest.fixture(scope="module")
def drawn() -> sample.Sample:
    return sample.draw()


@pytest.fixture(scope="module")
def table(drawn: sample.Sample) -> pd.DataFrame:
    return pd.DataFrame(drawn.table)


def test_there_are_3220_counties_in_52_states(table: pd.DataFrame) -> None:
    assert len(table) == 3220
    assert table["CensusId"].is_unique
    assert table["State"].nunique() == 52
    assert {"Puerto Rico", "District of Columbia"} <= set(table["State"])


def test_names_belong_to_their_fips_ids(table: pd.DataFrame) -> None:
    names = table.set_index("CensusId")[["State", "County"]]
    assert list(names.loc[1001]) == ["Alabama", "Autauga"]
    assert list(names.loc[6075]) == ["California", "San Francisco"]
    assert list(names.loc[35013]) == ["New Mexico", "Doña Ana"]


@needs_census
def test_ids_and_schema_are_those_of_the_real_file(table: pd.DataFrame) -> None:
    real = pd.read_csv(CENSUS_2015)
    assert list(table.columns) == list(real.columns)
    assert set(table["CensusId"]) == set(real["CensusId"])


@needs_census
def test_figures_are_not_those_of_the_real_file(table: pd.DataFrame) -> None:
    real = pd.read_csv(CENSUS_2015).set_index("CensusId").loc[table["CensusId"]]
    for column in ("TotalPop", "Men", "Women", "Citizen", "Employed"):
        same = (real[column].to_numpy() == table[column].to_numpy()).mean()
        assert same < 0.01, column


def test_exactly_two_rows_are_incomplete(table: pd.DataFrame) -> None:
    assert table.isna().any(axis=1).sum() == 2


def test_men_and_women_make_the_population(table: pd.DataFrame) -> None:
    assert (table["Men"] + table["Women"] == table["TotalPop"]).all()
    assert (table[["Men", "Women"]] > 0).all(axis=None)


def test_fewer_are_employed_and_citizens_than_live_there(table: pd.DataFrame) -> None:
    assert (table["Employed"] < table["TotalPop"]).all()
    assert (table["Citizen"] < table["TotalPop"]).all()


@pytest.mark.parametrize("shares", [sample._OCCUPATIONS, sample._COMMUTES, sample._EMPLOYERS])
def test_shares_of_workers_sum_to_100_percent(table: pd.DataFrame, shares: list[str]) -> None:
    np.testing.assert_allclose(table[shares].sum(axis=1), 100.0, atol=1e-6)
    assert (table[shares] >= 0).all(axis=None)


def test_shares_of_people_leave_a_small_rest(table: pd.DataFrame) -> None:
    total = table[sample._RACES].sum(axis=1)
    assert total.between(70, 100.35).all()
    assert total.mean() > 97


def test_every_margin_of_error_is_positive_and_below_its_estimate(table: pd.DataFrame) -> None:
    complete = table.dropna()
    for estimate in ("Income", "IncomePerCap"):
        assert (complete[f"{estimate}Err"] > 0).all()
        assert (complete[f"{estimate}Err"] < complete[estimate]).all()


def test_a_seed_gives_the_same_census_and_another_seed_another() -> None:
    assert b"".join(sample.stream(seed=7)) == b"".join(sample.stream(seed=7))
    assert b"".join(sample.stream(seed=7)) != b"".join(sample.stream(seed=8))


def test_pca_and_kmeans_find_the_planted_segments(drawn: sample.Sample, table: pd.DataFrame) -> None:
    complete = table.notna().all(axis=1).to_numpy()
    scaled = MinMaxScaler().fit_transform(table.loc[complete, sample.FEATURES])
    components = PCA(n_components=0.8, svd_solver="full").fit_transform(scaled)
    found = KMeans(n_clusters=8, n_init=10, random_state=1).fit_predict(components)
    assert adjusted_rand_score(drawn.segments[complete], found) > 0.9


def test_every_planted_segment_has_counties(drawn: sample.Sample) -> None:
    assert np.bincount(drawn.segments, minlength=len(sample.KINDS)).min() >= 50


def test_planted_shares_sum_to_100_percent() -> None:
    for kind in sample.KINDS:
        for shares in (kind.occupations, kind.commutes, kind.employers):
            assert sum(shares) == pytest.approx(100.0), kind.name
        assert 95 <= sum(kind.races) <= 100, kind.name


@pytest.mark.parametrize("rows", [1, 7, 3220, 50_001])
def test_a_stream_has_as_many_whole_rows_as_asked_for(rows: int) -> None:
    blocks = list(sample.stream(rows))
    assert all(block.endswith(b"\n") for block in blocks)
    table = pd.read_csv(io.BytesIO(b"".join(blocks)))
    assert len(table) == rows
    assert list(table.columns) == ["CensusTract", *sample.COLUMNS[1:]]
    assert table["CensusTract"].is_unique
    assert table["CensusTract"].is_monotonic_increasing


def test_tracts_lie_in_the_county_their_id_names(table: pd.DataFrame) -> None:
    tracts = pd.read_csv(io.BytesIO(b"".join(sample.stream(20_000))))
    county = table.set_index("CensusId").loc[tracts["CensusTract"] // 1_000_000]
    assert list(county["County"]) == list(tracts["County"])
    assert list(county["State"]) == list(tracts["State"])


def test_a_stream_is_made_block_by_block() -> None:
    first_blocks = list(itertools.islice(sample.stream(10**12), 3))
    assert max(len(block) for block in first_blocks) < 8_000_000


def test_a_stream_of_no_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="rows is 0; expected at least 1"):
        sample.stream(0)


def test_writing_makes_the_folder_and_a_file_any_csv_reader_reads(tmp_path: Path) -> None:
    path = tmp_path / "deep" / sample.FILE_NAME
    sample.write(path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3220
    assert rows[0]["County"] == "Autauga"


def test_a_missing_atlas_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sample, "ATLAS", tmp_path / "counties-10m.json")
    with pytest.raises(FileNotFoundError, match="npm ci"):
        sample.draw()
