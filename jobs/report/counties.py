"""The join of rows to the shapes of US counties, with the reason for each row that has none.

The shapes are us-atlas 3.0.1's: the Census Bureau's county boundaries of 2017, all 50 states, the District of
Columbia and Puerto Rico, known by their five-digit FIPS codes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

# Codes that changed while the place stayed the same: code in the CSV -> code of its shape.
RENAMED = {
    "46113": "46102",  # Shannon County, South Dakota, became Oglala Lakota County in 2015
    "02270": "02158",  # Wade Hampton Census Area, Alaska, became Kusilvak Census Area in 2015
}
# Codes without a shape in the boundaries of 2017, and what the report says about them.
_GONE = {"51515": "Bedford city, Virginia, became part of Bedford County in 2013"}
_AFTER_2017 = {
    "09": "Connecticut counts by planning region since 2022; the map has its counties of 2017",
    "02": "this census area of Alaska was drawn after 2017",
}
_UNKNOWN = "the map has no county with this FIPS code"
_LEAST_MATCHED = 0.9


@dataclass(frozen=True)
class CountyMap:
    """Which rows the map can show.

    Attributes
    ----------
    drawn
        Whether the report has a map at all.
    why_not
        A sentence for the reader when it has none.
    missing
        (name, reason) of the rows that have no shape of their own.
    """

    drawn: bool
    why_not: str
    missing: tuple[tuple[str, str], ...]


def topology() -> str:
    """Return the shapes' topology."""
    return _vendored("counties.json")


@cache
def shape_ids() -> frozenset[str]:
    """FIPS codes that have a shape."""
    return frozenset(json.loads(_vendored("fips.json")))


def _vendored(name: str) -> str:
    """Return a file that `npm ci` put into jobs/vendor (vendor.mjs beside this file)."""
    return files("jobs").joinpath("vendor", name).read_text(encoding="utf-8")


def fips(row_id: str) -> str:
    """Return the five-digit code of a county's shape: 1001 -> 01001, 46113 -> 46102; other ids are unchanged."""
    padded = row_id.zfill(5) if row_id.isdecimal() and len(row_id) <= 5 else row_id
    return RENAMED.get(padded, padded)


def join(ids: Sequence[str], names: Sequence[str]) -> CountyMap:
    """Match rows to shapes; a map is drawn if at least nine in ten rows have a shape of their own."""
    taken: set[str] = set()
    missing = []
    for row_id, name in zip(ids, names, strict=True):
        code = fips(row_id)
        if code in shape_ids() and code not in taken:
            taken.add(code)
        else:
            missing.append((name, "another row has the same FIPS code" if code in taken else _reason(code)))
    if taken and len(taken) >= _LEAST_MATCHED * len(ids):
        return CountyMap(drawn=True, why_not="", missing=tuple(missing))
    return CountyMap(
        drawn=False,
        why_not=(
            f"No map: it knows US counties by their five-digit FIPS codes, and only {len(taken):,} of "
            f"{len(ids):,} row ids are one (the first id here is {ids[0] if ids else 'missing'!r})."
        ),
        missing=(),
    )


def _reason(code: str) -> str:
    return _GONE.get(code) or (_AFTER_2017.get(code[:2]) if len(code) == 5 else None) or _UNKNOWN
