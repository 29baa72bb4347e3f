"""Numbers that no census has: too large to calculate with, or percentages above 100."""

import numpy as np
import pytest

from jobs.census import features
from jobs.census.problems import InvalidCensus
from jobs.census.survey import LARGEST_NUMBER
from tests.unit.jobs.census.census_files import csv_text, prepared

LOST = csv_text(
    "1,A,B,10,51281,129,0,245",
    "2,A,C,20,50254,134,1000,301",
    "3,A,D,30,32964,267,5,198",
    "4,A,E,40,40000,200,7,205",
    header="CensusId,State,County,TotalPop,Income,Poverty,Drive,MeanCommute",
)
INTACT = csv_text(
    "1,A,B,10,51281,12.9,0,24.5",
    "2,A,C,20,50254,13.4,100,30.1",
    "3,A,D,30,32964,26.7,0.5,19.8",
    "4,A,E,40,40000,20.0,0.7,20.5",
    header="CensusId,State,County,TotalPop,Income,Poverty,Drive,MeanCommute",
)
REMEDY = (
    "expected a percentage from 0 to 100; all percentages of the file seem to have lost their decimal point: "
    "restore it, or set correct_shares to true to divide them by ten"
)


def refusal(content: str, *, correct_shares: bool = False) -> InvalidCensus:
    with pytest.raises(InvalidCensus) as refused:
        prepared(content, correct_shares=correct_shares)
    return refused.value


class TestLargeNumbers:
    def test_a_number_whose_squares_would_overflow_is_refused(self) -> None:
        text = csv_text("1,A,B,1,2,3", "2,A,C,1e308,3,4", "3,A,D,2,4,5")
        assert str(refusal(text)) == "row 3: TotalPop is '1e308'; expected a number up to 1e+150 or an empty cell"

    def test_sums_of_squares_of_the_largest_accepted_numbers_are_finite(self) -> None:
        assert np.isfinite(LARGEST_NUMBER**2 * 1e8)
        made, sink = prepared(csv_text(f"1,A,B,{LARGEST_NUMBER:g},2,3", "2,A,C,0,3,4", "3,A,D,2,4,5"))
        assert made.maximum[0] == LARGEST_NUMBER
        assert np.isfinite(sink.matrix()).all()

    def test_the_next_larger_number_is_refused(self) -> None:
        larger = repr(float(np.nextafter(LARGEST_NUMBER, np.inf)))
        assert refusal(csv_text(f"1,A,B,{larger},2,3", "2,A,C,0,3,4")).totals == {"too_large": 1}


class TestUnusualForms:
    def test_a_cell_that_is_not_a_number_does_not_affect_the_others_of_its_column(self) -> None:
        text = csv_text("1,A,B,1-2345678,2,3", "2,A,C,1e5,3,4", "3,A,D,2.5e10,4,5")
        assert str(refusal(text)) == "row 2: TotalPop is '1-2345678'; expected a number or an empty cell"


class TestPercentages:
    def test_percentages_that_lost_their_decimal_point_are_refused_with_the_remedy(self) -> None:
        problems = refusal(LOST).problems
        assert [(p.row, p.kind, p.column, p.value) for p in problems] == [
            (2, "share_above_100", "Poverty", "129"),
            (3, "share_above_100", "Poverty", "134"),
            (3, "share_above_100", "Drive", "1000"),
            (4, "share_above_100", "Poverty", "267"),
            (5, "share_above_100", "Poverty", "200"),
        ]
        assert {problem.remedy for problem in problems} == {REMEDY}

    def test_they_are_corrected_if_the_setting_says_so(self) -> None:
        made, sink = prepared(LOST, correct_shares=True)
        intact, intact_sink = prepared(INTACT)
        assert made.corrected_columns == [
            {"name": name, "divided_by": 10.0} for name in ("Poverty", "Drive", "MeanCommute")
        ]
        assert (made.minimum, made.maximum) == (intact.minimum, intact.maximum)
        np.testing.assert_allclose(sink.matrix(), intact_sink.matrix(), rtol=1e-6)

    def test_an_intact_file_is_not_corrected(self) -> None:
        made, _ = prepared(INTACT, correct_shares=True)
        assert made.corrected_columns == []

    @pytest.mark.parametrize(("intact", "wrong"), [("134,1000", "134,1001"), ("129,0", "12.9,0"), ("129,0", "5000,0")])
    def test_percentages_that_are_wrong_in_another_way_are_refused_in_any_case(self, intact: str, wrong: str) -> None:
        refused = refusal(LOST.replace(intact, wrong), correct_shares=True)
        assert set(refused.totals) == {"share_above_100"}
        assert refused.problems[0].remedy == "expected a percentage from 0 to 100"

    def test_a_column_that_the_dictionary_does_not_know_may_exceed_100(self) -> None:
        assert prepared(LOST.replace("Poverty", "Sheep").replace("Drive", "Cows"))[0].corrected_columns == []

    def test_a_constant_column_is_corrected_too(self) -> None:
        made, _ = prepared(
            LOST.replace(",134,", ",129,").replace(",267,", ",129,").replace(",200,", ",129,"), correct_shares=True
        )
        assert made.constant_features == [{"name": "Poverty", "value": 12.9}]


@pytest.mark.parametrize("column", ["Poverty", "poverty", "child_poverty", "PctPoverty", "WorkedAtHome"])
def test_the_dictionary_knows_percentages_by_name_and_synonym(column: str) -> None:
    feature = features.find(column)
    assert feature is not None
    assert feature.unit == "percent"


def test_the_dictionary_does_not_know_every_column() -> None:
    assert features.find("Sheep") is None
