"""Features in words: names split, kinds recognised, values written."""

import pytest

from jobs.segments.wording import Feature, Kind, describe_feature, population_feature


def feature(name: str, minimum: float = 0, maximum: float = 80.5, *, whole: bool = False) -> Feature:
    return describe_feature(name, minimum, maximum, whole=whole)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Poverty", "Poverty"),
        ("ChildPoverty", "Child poverty"),
        ("IncomePerCapErr", "Income per capita margin of error"),
        ("VotingAgeCitizen", "Voting age citizen"),
        ("households_with_tv", "Households with tv"),
        ("Black", "Black"),
        ("NonHispanicWhite", "Non Hispanic White"),
        ("NotLatinoAsianPacific", "Not Latino Asian Pacific"),
        ("AnyAmericanIndianAlaskaNative", "Any American Indian Alaska Native"),
        ("GDP2017", "Gdp 2017"),
        ("PctRenters", "Renters"),
        ("§§", "§§"),
    ],
)
def test_a_columns_name_becomes_words(name: str, label: str) -> None:
    assert feature(name).label == label


@pytest.mark.parametrize(
    ("name", "minimum", "maximum", "whole", "kind"),
    [
        ("Poverty", 0, 55.1, False, Kind.SHARE),
        ("TotalPop", 85, 10_038_388, True, Kind.COUNT),
        ("Floors", 0, 90, True, Kind.COUNT),
        ("Income", 10_499, 123_453, True, Kind.MONEY),
        ("MeanCommute", 4.9, 44, False, Kind.MINUTES),
        ("MedianAge", 21.6, 67, False, Kind.NUMBER),
        ("Growth", -3.2, 40, False, Kind.NUMBER),
        ("Density", 0.1, 70_000.5, False, Kind.NUMBER),
    ],
)
def test_a_kind_follows_from_name_and_values(
    name: str, minimum: float, maximum: float, whole: bool, kind: Kind
) -> None:
    assert feature(name, minimum, maximum, whole=whole).kind is kind


@pytest.mark.parametrize(
    ("name", "effect", "phrase"),
    [
        ("Poverty", 0.9, "high poverty"),
        ("Black", 1.0, "high Black share"),
        ("WorkAtHome", -0.7, "low work-at-home share"),
        ("Unemployment", 2.4, "very high unemployment"),
        ("MeanCommute", 0.8, "long commutes"),
        ("MeanCommute", -2.1, "very short commutes"),
    ],
)
def test_a_departure_is_said_in_a_phrase(name: str, effect: float, phrase: str) -> None:
    assert feature(name).phrase(effect) == phrase


def test_a_count_is_large_or_small() -> None:
    assert feature("TotalPop", 85, 9e6, whole=True).phrase(1) == "large population"
    assert feature("Income", 85, 9e6, whole=True).phrase(-1) == "low income"


@pytest.mark.parametrize(
    ("name", "whole", "value", "against", "text"),
    [
        ("Poverty", False, 43.4, 9.1, "43 %"),
        ("Poverty", False, 9.21, 8.93, "9.2 %"),
        ("Poverty", False, 0.84, 0.29, "0.8 %"),
        ("Income", True, 32_387.1, 46_123.0, "$32,400"),
        ("TotalPop", True, 12_345.0, 99_471.0, "12,300"),
        ("MeanCommute", False, 31.2, 23.3, "31 min"),
        ("MedianAge", False, 41.234, 38.0, "41.2"),
    ],
)
def test_a_value_is_written_with_its_unit(name: str, whole: bool, value: float, against: float, text: str) -> None:
    assert feature(name, 0, 9e6 if whole else 80.5, whole=whole).value(value, against=against) == text


def test_a_margin_of_error_is_recognised() -> None:
    assert feature("IncomeErr", whole=True).is_error
    assert not feature("Terror").is_error


@pytest.mark.parametrize("name", ["TotalPop", "population", "POP2020", "total_pop", "Population_2015"])
def test_the_column_that_counts_people_is_found(name: str) -> None:
    features = [feature("Poverty"), feature(name, 85, 9e6, whole=True)]
    found = population_feature(features)
    assert found is not None
    assert found.name == name


def test_shares_and_other_counts_are_no_population() -> None:
    assert population_feature([feature("PopDensity", whole=True), feature("Pop")]) is None
