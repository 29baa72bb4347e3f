"""Says which series a file belongs to, and which year it describes."""

import re
from collections.abc import Mapping

from contract.layout import INCOMING_PREFIX

ROOT_SERIES = "default"
"""The series of the files that lie directly under ``incoming/``."""

ACS_YEARS = 5
"""The years that one release of the American Community Survey for every county averages over."""

_YEAR = re.compile(r"(?<!\d)(?:19|20)\d{2}(?!\d)")


def series_of(key: str) -> str:
    """Return the name of the series that an object in the incoming bucket belongs to: its folder.

    >>> series_of("incoming/tracts/2017.csv"), series_of("incoming/2017.csv")
    ('tracts', 'default')
    """
    return key.removeprefix(INCOMING_PREFIX).rpartition("/")[0] or ROOT_SERIES


def vintage_of(key: str, metadata: Mapping[str, str]) -> int | None:
    """Return the year that a file describes: its ``vintage`` metadata, else the last year in its name, else None.

    >>> vintage_of("incoming/acs2017_county_data.csv", {})
    2017
    >>> vintage_of("incoming/acs2017_county_data.csv", {"vintage": "2016"})
    2016
    """
    given = metadata.get("vintage", "").strip()
    years = _YEAR.findall(given) or _YEAR.findall(key.rpartition("/")[2])
    return int(years[-1]) if years else None


def overlap_warning(previous: int | None, current: int | None) -> str | None:
    """Warn where two five-year averages share years, so that part of the data is the same.

    Files for every county come from the American Community Survey's five-year estimates: the release of 2017 averages
    2013 to 2017. The Census Bureau advises to compare only periods that do not overlap:
    https://www.census.gov/programs-surveys/acs/guidance/comparing-acs-data.html
    """
    if previous is None or current is None or previous == current:
        return None
    shared = ACS_YEARS - abs(current - previous)
    if shared <= 0:
        return None
    first, last = max(previous, current) - ACS_YEARS + 1, min(previous, current)
    return (
        f"If both files are five-year estimates, they share {shared} of {ACS_YEARS} years ({first} to {last}):"
        " the comparison shows less change than there was. The Census Bureau advises against comparing periods"
        " that overlap."
    )
