"""The join of rows to the shapes of US counties, with the reason for each row that has none.

The shapes are the Census Bureau's county boundaries of two years: all 50 states, the District of Columbia and Puerto
Rico, known by their five-digit FIPS codes. Between the two years Connecticut replaced its counties by planning regions
and Alaska divided a census area, so each state is drawn with the boundaries that know more of the file's ids.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from jobs.series.regions import region_changes

_UNKNOWN = "the map has no county with this FIPS code"
_LEAST_MATCHED = 0.9


@dataclass(frozen=True)
class Boundaries:
    """The counties of one year: the npm package with their shapes and its version, and their FIPS codes."""

    source: str
    ids: frozenset[str]


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
    rows
        The row (0..n-1) of each shape that has one, by FIPS code.
    years
        The year of the boundaries of each state that has rows, by the state's FIPS code.
    """

    drawn: bool
    why_not: str = ""
    missing: tuple[tuple[str, str], ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    years: Mapping[str, str] = field(default_factory=dict)

    @property
    def sources(self) -> dict[str, str]:
        """The package of the boundaries of each year that is used, by year."""
        return {year: boundaries()[year].source for year in sorted(set(self.years.values()))}


@cache
def boundaries() -> Mapping[str, Boundaries]:
    """Return the available boundaries by year, the oldest first."""
    document = json.loads(_vendored("boundaries.json"))
    return {year: Boundaries(each["source"], frozenset(each["ids"])) for year, each in sorted(document.items())}


def _vendored(name: str) -> str:
    """Return a file that `npm ci` put into jobs/vendor (vendor.mjs beside this file)."""
    return files("jobs").joinpath("vendor", name).read_text(encoding="utf-8")


@cache
def _renamed() -> Mapping[str, str]:
    """Return the code of the shape for each code that changed while the place stayed the same."""
    return {change.before[0]: change.after[0] for change in region_changes() if change.kind == "renamed"}


def fips(row_id: str) -> str:
    """Return the five-digit code of a county's shape: 1001 -> 01001, 46113 -> 46102; other ids are unchanged."""
    padded = row_id.zfill(5) if row_id.isdecimal() and len(row_id) <= 5 else row_id
    return _renamed().get(padded, padded)


def join(ids: Sequence[str], names: Sequence[str]) -> CountyMap:
    """Match rows to shapes; a map is drawn if at least nine in ten rows have a shape of their own."""
    codes = [fips(row_id) for row_id in ids]
    years = _years(codes)
    rows: dict[str, int] = {}
    missing = []
    for row, (code, name) in enumerate(zip(codes, names, strict=True)):
        if code in rows:
            missing.append((name, "another row has the same FIPS code"))
        elif code[:2] in years and code in boundaries()[years[code[:2]]].ids:
            rows[code] = row
        else:
            missing.append((name, _reason(code)))
    if rows and len(rows) >= _LEAST_MATCHED * len(ids):
        return CountyMap(drawn=True, missing=tuple(missing), rows=rows, years=years)
    return CountyMap(
        drawn=False,
        why_not=(
            f"No map: it knows US counties by their five-digit FIPS codes, and only {len(rows):,} of "
            f"{len(ids):,} row ids are one (the first id here is {ids[0] if ids else 'missing'!r})."
        ),
    )


def _years(codes: Sequence[str]) -> dict[str, str]:
    """Return for each state the year whose boundaries know most of its codes, else most of all codes."""
    known = {year: [code for code in codes if code in each.ids] for year, each in boundaries().items()}
    by_state = {year: Counter(code[:2] for code in found) for year, found in known.items()}
    states = sorted(set().union(*by_state.values()))
    return {state: max(known, key=lambda year: (by_state[year][state], len(known[year]))) for state in states}


def _reason(code: str) -> str:
    """Say why a code has no shape: what happened to the region, if that is known."""
    return next((change.note for change in region_changes() if code in (*change.before, *change.after)), _UNKNOWN)


def topology(county_map: CountyMap) -> str:
    """Return the TopoJSON of a map, with only the shapes that it draws.

    Returns
    -------
    str
        Its objects are `counties`, all of the states that have rows, where the property `row` is the number of the
        county's row; `states`, whose borders are drawn; and `others`, the states without rows.
    """
    usual = Counter(county_map.years.values()).most_common(1)[0][0]
    atlases = {year: json.loads(_vendored(f"boundaries-{year}.json")) for year in county_map.sources}
    arcs = _Arcs({year: atlas["arcs"] for year, atlas in atlases.items()})

    def shapes(name: str) -> list[dict[str, Any]]:
        return [
            {**shape, "arcs": arcs.take(year, shape["arcs"])}
            for year, atlas in atlases.items()
            for shape in atlas["objects"][name]["geometries"]
            if county_map.years.get(shape["id"][:2], usual) == year
            and (name == "states" or shape["id"][:2] in county_map.years)
        ]

    counties, states = shapes("counties"), shapes("states")
    for county in counties:
        row = county_map.rows.get(county["id"])
        county["properties"] = {"name": county["properties"]["name"]} if row is None else {"row": row}
    objects = {
        "counties": counties,
        "states": states,
        "others": [state for state in states if state["id"] not in county_map.years],
    }
    document = {
        "type": "Topology",
        "transform": atlases[usual]["transform"],
        "objects": {
            name: {"type": "GeometryCollection", "geometries": geometries} for name, geometries in objects.items()
        },
        "arcs": arcs.taken,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


class _Arcs:
    """Collects the arcs that shapes use; `taken` holds each of them once."""

    def __init__(self, arcs: Mapping[str, Sequence[Any]]) -> None:
        self._arcs = arcs
        self._places: dict[tuple[str, int], int] = {}
        self.taken: list[Any] = []

    def take(self, year: str, indexes: Any) -> Any:
        """Return an index of an arc, or nested lists of such, for the collected arcs; ~i is arc i reversed."""
        if isinstance(indexes, list):
            return [self.take(year, each) for each in indexes]
        own = ~indexes if indexes < 0 else indexes
        if (year, own) not in self._places:
            self._places[year, own] = len(self.taken)
            self.taken.append(self._arcs[year][own])
        place = self._places[year, own]
        return ~place if indexes < 0 else place
