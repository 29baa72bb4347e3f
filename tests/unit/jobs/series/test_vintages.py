"""Which series and which year a file belongs to."""

import pytest

from jobs.series.vintages import overlap_warning, series_of, vintage_of


@pytest.mark.parametrize(
    ("key", "series"),
    [
        ("incoming/a.csv", "default"),
        ("incoming/tracts/a.csv", "tracts"),
        ("incoming/west/tracts/a.csv", "west/tracts"),
    ],
)
def test_a_folder_is_a_series(key: str, series: str) -> None:
    assert series_of(key) == series


@pytest.mark.parametrize(
    ("name", "metadata", "year"),
    [
        ("acs2017_county_data.csv", {}, 2017),
        ("2013-2017.csv", {}, 2017),
        ("acs2017_county_data.csv", {"vintage": "2018"}, 2018),
        ("Census_Data_for_SageMaker.csv", {}, None),
        ("counties-120171.csv", {}, None),
    ],
)
def test_the_vintage_is_in_the_metadata_or_else_in_the_name(
    name: str, metadata: dict[str, str], year: int | None
) -> None:
    assert vintage_of(f"incoming/1999/{name}", metadata) == year


def test_periods_that_overlap_are_warned_of() -> None:
    warning = overlap_warning(2015, 2017)
    assert warning is not None
    assert "share 3 of 5 years (2013 to 2015)" in warning


@pytest.mark.parametrize(("previous", "current"), [(2012, 2017), (None, 2017), (2015, None), (2015, int("2015"))])
def test_periods_that_do_not_overlap_or_are_unknown_are_not(previous: int | None, current: int | None) -> None:
    assert overlap_warning(previous, current) is None
