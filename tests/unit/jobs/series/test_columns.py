"""Columns recognised under other names."""

import csv
from pathlib import Path

from jobs.series.columns import match_columns
from tests.reference import CENSUS_2015, CENSUS_2017, needs_census, needs_census_2017


def features(path: Path) -> list[str]:
    with path.open(newline="") as file:
        return next(csv.reader(file))[3:]


class TestNames:
    def test_a_synonym_is_found(self) -> None:
        match = match_columns(["TotalPop", "Citizen"], ["VotingAgeCitizen", "TotalPop"])
        assert match.names == {"TotalPop": "TotalPop", "Citizen": "VotingAgeCitizen"}
        assert match.renamed == {"Citizen": "VotingAgeCitizen"}
        assert match.sentences() == ["Citizen is called VotingAgeCitizen in the current file."]

    def test_case_and_punctuation_do_not_matter(self) -> None:
        match = match_columns(["IncomePerCap", "MyOwnIndex"], ["income_per_capita", "my-own index"])
        assert match.names == {"IncomePerCap": "income_per_capita", "MyOwnIndex": "my-own index"}

    def test_names_that_are_close_but_mean_something_else_do_not_match(self) -> None:
        match = match_columns(["Income", "Poverty"], ["IncomeErr", "ChildPoverty"])
        assert match.names == {}
        assert match.missing == ("Income", "Poverty")
        assert match.new == ("IncomeErr", "ChildPoverty")

    def test_an_equal_name_wins_over_a_synonym(self) -> None:
        match = match_columns(["Citizen", "Men"], ["VotingAgeCitizen", "Citizen", "Men"])
        assert match.names["Citizen"] == "Citizen"
        assert match.new == ("VotingAgeCitizen",)

    def test_two_columns_never_match_one(self) -> None:
        match = match_columns(["Citizen", "VotingAgeCitizen"], ["CVAP"])
        assert match.names == {"Citizen": "CVAP"}
        assert match.missing == ("VotingAgeCitizen",)


class TestMeaning:
    def test_a_missing_column_says_that_the_previous_model_cannot_label(self) -> None:
        match = match_columns(["Men", "Walk"], ["Men"])
        assert not match.is_complete
        assert any("lacks Walk" in sentence and "previous model" in sentence for sentence in match.sentences())

    def test_a_new_column_says_that_segments_can_change_by_it_alone(self) -> None:
        assert any(
            "lacked Broadband" in sentence for sentence in match_columns(["Men"], ["Men", "Broadband"]).sentences()
        )


@needs_census
@needs_census_2017
def test_every_column_of_2015_is_found_in_2017() -> None:
    match = match_columns(features(CENSUS_2015), features(CENSUS_2017))
    assert len(match.names) == 34
    assert match.renamed == {"Citizen": "VotingAgeCitizen"}
    assert (match.new, match.missing) == ((), ())
