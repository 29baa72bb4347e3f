"""Regions found again, across changes of the map."""

import csv
import re
from pathlib import Path

import pytest

from jobs.series.regions import Regions, canonical_id, match_regions, normalised_name, region_changes
from tests.reference import CENSUS_2015, CENSUS_2017, needs_census, needs_census_2017

CONNECTICUT_BEFORE = [f"090{number:02}" for number in range(1, 16, 2)]
CONNECTICUT_NOW = [f"09{number}" for number in range(110, 191, 10)]


def regions(*ids: str) -> Regions:
    return Regions(ids, [f"State-{each}" for each in ids])


def read(path: Path) -> Regions:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    return Regions([row[0] for row in rows], [f"{row[1]}-{row[2]}" for row in rows])


class TestIds:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [("1001", "01001"), ("01001", "01001"), ("56045", "56045"), ("1001020100", "01001020100"), ("Ohio", "Ohio")],
    )
    def test_leading_zeros_come_back(self, text: str, expected: str) -> None:
        assert canonical_id(text) == expected

    def test_the_same_region_is_found_by_its_padded_id(self) -> None:
        match = match_regions(regions("1001", "1003"), regions("01003", "01001"))
        assert match.previous.tolist() == [0, 1]
        assert match.current.tolist() == [1, 0]

    def test_gone_and_new_regions_are_listed(self) -> None:
        match = match_regions(regions("01001", "01003"), regions("01003", "01005"))
        assert (match.gone.tolist(), match.new.tolist()) == ([0], [1])
        assert (match.previous_excluded.tolist(), match.current_excluded.tolist()) == ([], [])


class TestNames:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("Alabama-Autauga", "Alabama-Autauga County"),
            ("Louisiana-Orleans Parish", "Louisiana-Orleans"),
            ("Puerto Rico-Añasco Municipio", "Puerto Rico-Anasco"),
            ("Missouri-St. Louis County", "Missouri-St Louis"),
        ],
    )
    def test_names_that_mean_the_same(self, one: str, other: str) -> None:
        assert normalised_name(one) == normalised_name(other)

    def test_a_city_is_not_the_county_of_the_same_name(self) -> None:
        assert normalised_name("Virginia-Fairfax city") != normalised_name("Virginia-Fairfax County")

    def test_without_ids_names_match_and_ambiguous_ones_do_not(self) -> None:
        before = Regions(["1", "2", "3"], ["A-One County", "A-Two", "A-Two"], has_ids=False)
        match = match_regions(before, Regions(["9", "8"], ["A-Two", "A-One"], has_ids=False))
        assert list(zip(match.previous.tolist(), match.current.tolist(), strict=True)) == [(0, 1)]
        assert match.gone.tolist() == [1, 2]

    @pytest.mark.parametrize("before", [True, False])
    def test_names_match_if_only_one_file_has_ids(self, before: bool) -> None:
        one, other = Regions(["1001"], ["A-One"], has_ids=before), Regions(["9"], ["A-One"], has_ids=not before)
        assert match_regions(one, other).previous.tolist() == [0]


class TestChangesOfTheMap:
    def test_a_renamed_county_is_followed(self) -> None:
        match = match_regions(regions("46113", "46001"), regions("46001", "46102"))
        assert match.previous.tolist() == [0, 1]
        assert match.current.tolist() == [1, 0]
        assert [change.note for change in match.renamed] == [
            "Shannon County, South Dakota, was renamed Oglala Lakota County."
        ]

    def test_connecticuts_planning_regions_are_not_comparable_with_its_counties(self) -> None:
        match = match_regions(regions("01001", *CONNECTICUT_BEFORE), regions("01001", *CONNECTICUT_NOW))
        assert match.previous.tolist() == [0]
        assert (len(match.gone), len(match.new)) == (0, 0)
        assert [change.kind for change in match.not_comparable] == ["redrawn"]
        assert len(match.previous_excluded) == 8
        assert len(match.current_excluded) == 9

    def test_a_county_that_is_merely_missing_from_the_current_file_is_gone(self) -> None:
        match = match_regions(regions("09001", "09003"), regions("09001"))
        assert (match.gone.tolist(), match.not_comparable) == ([1], ())

    def test_a_split_census_area_is_not_comparable(self) -> None:
        match = match_regions(regions("02261"), regions("02063", "02066"))
        assert [change.date for change in match.not_comparable] == ["2019-01-02"]
        assert (match.previous_excluded.tolist(), match.current_excluded.tolist()) == ([0], [0, 1])

    def test_a_county_that_took_in_a_city_is_not_comparable(self) -> None:
        match = match_regions(regions("51019", "51515"), regions("51019"))
        assert [change.kind for change in match.not_comparable] == ["merged"]
        assert len(match.previous) == 0

    def test_a_change_before_both_files_means_nothing(self) -> None:
        match = match_regions(regions("51019", "02195"), regions("51019", "02195"))
        assert match.previous.tolist() == [0, 1]
        assert match.not_comparable == ()

    def test_every_known_change_has_county_ids_a_date_and_a_sentence(self) -> None:
        for change in region_changes():
            assert all(re.fullmatch(r"\d{5}", each) for each in change.before + change.after)
            assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", change.date)
            assert change.note.endswith(".")


@needs_census
@needs_census_2017
def test_all_3220_regions_of_2015_are_found_in_2017() -> None:
    before, now = read(CENSUS_2015), read(CENSUS_2017)
    match = match_regions(before, now)
    assert len(match.previous) == 3220
    assert (len(match.gone), len(match.new), match.not_comparable) == (0, 0, ())


@needs_census
@needs_census_2017
def test_names_alone_find_the_regions_too() -> None:
    before, now = read(CENSUS_2015), read(CENSUS_2017)
    by_name = match_regions(
        Regions(before.ids, before.names, has_ids=False), Regions(now.ids, now.names, has_ids=False)
    )
    assert len(by_name.previous) >= 3200
    wrong = [
        (before.names[i], now.names[j])
        for i, j in zip(by_name.previous, by_name.current, strict=True)
        if canonical_id(before.ids[i]) != canonical_id(now.ids[j])
    ]
    assert wrong == []
