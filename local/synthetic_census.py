"""Generates a synthetic census with the columns of the real one.

The ids, names and locations of the counties are real (from us-atlas); every figure is invented. Each county resembles
one of eight kinds, which are placed where such counties are common, so that a clustering has segments to find.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from local.synthetic_names import FILE_NAME, NOTE

__all__ = ["FILE_NAME", "NOTE", "Kind", "Sample", "draw", "stream", "write"]

DEFAULT_SEED: Final = 2015

ATLAS: Final = Path(__file__).parents[1] / "node_modules" / "us-atlas" / "counties-10m.json"
# The island territories have shapes, but no rows in the American Community Survey's county tables.
_NOT_SURVEYED: Final = frozenset({"60", "66", "69", "78"})

_RACES: Final = ["Hispanic", "White", "Black", "Native", "Asian", "Pacific"]
_OCCUPATIONS: Final = ["Professional", "Service", "Office", "Construction", "Production"]
_COMMUTES: Final = ["Drive", "Carpool", "Transit", "Walk", "OtherTransp", "WorkAtHome"]
_EMPLOYERS: Final = ["PrivateWork", "PublicWork", "SelfEmployed", "FamilyWork"]
FEATURES: Final = [
    *[
        "TotalPop",
        "Men",
        "Women",
        *_RACES,
        "Citizen",
        "Income",
        "IncomeErr",
        "IncomePerCap",
        "IncomePerCapErr",
    ],
    *[
        "Poverty",
        "ChildPoverty",
        *_OCCUPATIONS,
        *_COMMUTES,
        "MeanCommute",
        "Employed",
        *_EMPLOYERS,
        "Unemployment",
    ],
]
COLUMNS: Final = ["CensusId", "State", "County", *FEATURES]

_TRACT_VARIANTS: Final = 10
_TRACT_POPULATION: Final = 4_000
_STREAM_ROWS: Final = 20_000


@dataclass(frozen=True)
class Kind:
    """One kind of county, which a clustering should find as a segment.

    Attributes
    ----------
    name
        A description of such counties.
    homes
        The places where it is common, each as longitude, latitude and radius in degrees.
    population
        The median population of a county.
    races, occupations, commutes, employers
        Mean shares in percent. The shares of a group sum to 100, except those of races, which leave a remainder.
    income, poverty, unemployment, minutes
        Median household income ($), people in poverty (%), unemployed (%), mean commute (minutes).
    citizens, employed
        Mean shares of the population, 0 to 1.
    """

    name: str
    homes: tuple[tuple[float, float, float], ...]
    population: int
    races: tuple[float, ...]
    occupations: tuple[float, ...]
    commutes: tuple[float, ...]
    employers: tuple[float, ...]
    income: float
    poverty: float
    unemployment: float
    minutes: float
    citizens: float
    employed: float


KINDS: Final = (
    Kind(
        "farm country",
        ((-100, 46, 4), (-99.5, 41, 4), (-110, 46, 4), (-94, 43, 3), (-113, 43, 3)),
        7_000,
        (4, 92.5, 0.5, 1.2, 0.5, 0.1),
        (33, 16, 20, 16, 15),
        (71, 9, 0.3, 7, 1.7, 11),
        (66, 16, 17, 1),
        52_000, 11, 3.2, 16, 0.76, 0.52,
    ),
    Kind(
        "factory towns",
        ((-87, 41, 4), (-83, 41, 3), (-90, 44.5, 3), (-91, 40, 3), (-78, 41, 2.5), (-86.5, 36, 2)),
        38_000,
        (3.5, 91, 2.5, 0.4, 0.8, 0.05),
        (27, 16, 21, 10, 26),
        (84.5, 9, 0.4, 2.2, 1, 2.9),
        (82, 11.5, 6.2, 0.3),
        49_000, 13, 6.5, 22, 0.76, 0.47,
    ),
    Kind(
        "mountain hollows",
        ((-82.5, 37.6, 2.5), (-80.5, 39, 1.7), (-93, 36.3, 2.5), (-85, 36.3, 1.5), (-120, 41.5, 3)),
        17_000,
        (2, 95, 1.5, 0.4, 0.3, 0.03),
        (25, 21, 22, 19, 13),
        (80, 12.5, 0.3, 2, 1.2, 4),
        (67, 22, 10.6, 0.4),
        35_000, 23, 9.5, 32, 0.79, 0.34,
    ),
    Kind(
        "the Black Belt",
        ((-90.5, 33.3, 2.2), (-87, 32.3, 2.2), (-83.5, 32.2, 2.2), (-80, 34, 2), (-77.7, 36.5, 1.6)),
        20_000,
        (3, 45, 50, 0.3, 0.5, 0.05),
        (25, 20, 22, 11.5, 21.5),
        (84, 11, 0.6, 1.6, 1.3, 1.5),
        (74, 20.5, 5.3, 0.2),
        32_500, 28, 13.5, 24, 0.76, 0.37,
    ),
    Kind(
        "the southwestern border",
        ((-98.7, 28, 2.7), (-102.5, 32, 2.5), (-105.5, 33.5, 2.5), (-112.5, 32.5, 2), (-120, 36.5, 2)),
        42_000,
        (60, 33, 1.7, 1, 1.5, 0.1),
        (26, 21, 22, 20, 11),
        (78, 13.5, 0.4, 2.3, 2, 3.8),
        (71, 20, 8.7, 0.3),
        42_500, 22, 8.5, 20, 0.60, 0.42,
    ),
    Kind(
        "metropolitan counties",
        (
            *((-74.2, 40.8, 1.8), (-77.2, 38.9, 1.3), (-71.4, 42.3, 1.3), (-122, 37.6, 0.9)),
            *((-117.8, 33.9, 0.9), (-87.9, 41.9, 0.8), (-84.4, 33.8, 0.9), (-104.9, 39.7, 0.9)),
            *((-122.3, 47.5, 1), (-96.9, 32.8, 0.8), (-95.4, 29.8, 0.8), (-93.3, 44.9, 0.8)),
            *((-82, 28, 1.8), (-80.3, 26, 1), (-97.7, 30.3, 0.7), (-83.2, 42.4, 0.7)),
            *((-78.8, 35.8, 0.8), (-80.8, 35.2, 0.7), (-86.8, 36.1, 0.6), (-157.5, 20.9, 3)),
            *((-111.9, 40.6, 0.8), (-122.7, 45.4, 0.8), (-90.4, 38.6, 0.7), (-94.6, 39, 0.7)),
            *((-115.1, 36.1, 1),),
        ),
        230_000,
        (13, 65, 11, 0.3, 8, 0.15),
        (45, 16, 23.5, 7, 8.5),
        (74, 8.5, 7, 2.5, 1.8, 6.2),
        (80, 14, 5.8, 0.2),
        71_000, 10, 6.5, 30, 0.67, 0.50,
    ),
    Kind(
        "Native and far north",
        (
            *((-152, 63, 9), (-134, 57.5, 4), (-109.3, 36, 1.6), (-101, 44.4, 1.3), (-107.5, 48, 1.4)),
            *((-95.5, 35.3, 1),),
        ),
        9_000,
        (3, 31, 0.7, 60, 1.5, 0.5),
        (32, 22, 22.5, 14, 9.5),
        (52, 13, 1.5, 21, 7.5, 5),
        (51, 42, 6.6, 0.4),
        41_000, 28, 17, 15, 0.70, 0.37,
    ),
    Kind(
        "Puerto Rico",
        ((-66.4, 18.2, 0.8),),
        35_000,
        (99, 0.7, 0.1, 0.02, 0.05, 0.01),
        (28, 20, 29, 11.5, 11.5),
        (85, 8.5, 1.2, 2.2, 1.2, 1.9),
        (67, 26, 6.8, 0.2),
        18_000, 48, 20, 29, 0.78, 0.27,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A generated census.

    Attributes
    ----------
    table
        The 37 columns of the real file, each of shape (rows,), by name; there is one row per county.
    segments
        Shape (rows,). The index into :data:`KINDS` of the main kind of each row.
    """

    table: Mapping[str, NDArray[Any]]
    segments: NDArray[np.intp]


def draw(seed: int = DEFAULT_SEED) -> Sample:
    """Generate the 3,220 counties of the fifty states, the District of Columbia and Puerto Rico.

    Parameters
    ----------
    seed
        The same seed results in the same census.

    Raises
    ------
    FileNotFoundError
        If us-atlas is not installed.
    """
    rng = np.random.default_rng(seed)
    counties, here = _counties()
    blend = _blend(here, rng)
    return Sample({**counties, **_figures(blend, rng)}, blend.argmax(axis=1))


def write(path: Path, *, rows: int | None = None, seed: int = DEFAULT_SEED) -> None:
    """Write the synthetic census, as generated by :func:`stream`, to a file.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.writelines(stream(rows, seed=seed))


def stream(rows: int | None = None, *, seed: int = DEFAULT_SEED) -> Iterator[bytes]:
    """Return an iterator over the bytes of a synthetic census CSV; the memory used does not depend on `rows`.

    Parameters
    ----------
    rows
        ``None`` selects the 3,220 counties. A number selects that many invented census tracts with an 11-digit
        ``CensusTract`` and the state and county that contain them; each county has ten different sets of figures.
    seed
        The same seed results in the same bytes.

    Yields
    ------
    bytes
        The header, then blocks of whole rows.

    Raises
    ------
    ValueError
        If `rows` is not positive.
    """
    if rows is None:
        table = draw(seed).table
        return iter(["".join([_header(table), *_lines(table)]).encode()])
    if rows < 1:
        raise ValueError(f"rows is {rows}; expected at least 1")
    return _tracts(rows, seed)


def _tracts(rows: int, seed: int) -> Iterator[bytes]:
    rng = np.random.default_rng(seed)
    counties, here = _counties()
    fips = counties.pop("CensusId")
    blend = _blend(here, rng)
    variants = [_lines({**counties, **_figures(blend, rng, _TRACT_POPULATION)}) for _ in range(_TRACT_VARIANTS)]
    yield _header(["CensusTract", *COLUMNS[1:]]).encode()
    # Integer arithmetic spreads the rows evenly over the counties, even if their number is not a multiple.
    for start in range(0, rows, _STREAM_ROWS):
        row = np.arange(start, min(start + _STREAM_ROWS, rows), dtype=np.int64)
        county = row * len(fips) // rows
        tract = row - -(-county * rows // len(fips))
        ids = fips[county] * 1_000_000 + (tract + 1)
        block = [
            f"{i},{variants[t % _TRACT_VARIANTS][c]}"
            for i, c, t in zip(ids.tolist(), county.tolist(), tract.tolist(), strict=True)
        ]
        yield "".join(block).encode()


def _header(columns: Iterable[str]) -> str:
    return ",".join(columns) + "\n"


def _lines(table: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the rows as lines of a CSV; a number that is not known is an empty cell."""
    columns = [
        [None if isinstance(value, float) and isnan(value) else value for value in column.tolist()]
        for column in table.values()
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(zip(*columns, strict=True))
    return text.getvalue().splitlines(keepends=True)


def _counties() -> tuple[dict[str, NDArray[Any]], NDArray[np.float64]]:
    """Read the id, state and name of every surveyed county, in order of id, and the longitudes and latitudes (n, 2)."""
    if not ATLAS.is_file():
        raise FileNotFoundError(f"{ATLAS.name} of us-atlas is not installed; run: npm ci")
    atlas = json.loads(ATLAS.read_bytes())
    points = _arc_centres(atlas)
    states = {s["id"]: s["properties"]["name"] for s in atlas["objects"]["states"]["geometries"]}
    surveyed = [c for c in atlas["objects"]["counties"]["geometries"] if c["id"][:2] not in _NOT_SURVEYED]
    surveyed.sort(key=lambda county: int(county["id"]))
    names = {
        "CensusId": np.array([int(county["id"]) for county in surveyed]),
        "State": np.array([states[county["id"][:2]] for county in surveyed]),
        "County": np.array([county["properties"]["name"] for county in surveyed]),
    }
    return names, np.array([points[_outline(county)].mean(axis=0) for county in surveyed])


def _arc_centres(atlas: dict[str, Any]) -> NDArray[np.float64]:
    """Return the mean longitude and latitude of each arc; TopoJSON stores them as quantized differences."""
    scale, translate = (np.asarray(atlas["transform"][key]) for key in ("scale", "translate"))
    centres = np.asarray([np.cumsum(np.asarray(arc), axis=0).mean(axis=0) for arc in atlas["arcs"]])
    degrees: NDArray[np.float64] = centres * scale + translate
    return degrees


def _outline(county: dict[str, Any]) -> list[int]:
    """Return the indices of the arcs around a county; TopoJSON writes a reversed arc i as ~i."""
    rings = county["arcs"] if county["type"] == "Polygon" else [r for part in county["arcs"] for r in part]
    return [arc if arc >= 0 else ~arc for ring in rings for arc in ring]


def _blend(here: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the share of each kind in each county (n, kinds), by longitudes and latitudes (n, 2).

    The main kind is the one whose place is nearest, measured in radii of the place and with noise, so that borders are
    irregular. Its share is at least 0.7, which keeps the kinds distinguishable; the others share the rest by distance.
    """
    distance = np.stack([_nearness(here, kind) for kind in KINDS], axis=1)
    distance += rng.gumbel(0.0, 0.12, distance.shape)
    main = np.eye(len(KINDS))[distance.argmin(axis=1)]
    closeness = np.exp(-2.0 * (distance - distance.min(axis=1, keepdims=True)))
    blend: NDArray[np.float64] = 0.7 * main + 0.3 * closeness / closeness.sum(axis=1, keepdims=True)
    return blend


def _nearness(here: NDArray[np.float64], kind: Kind) -> NDArray[np.float64]:
    homes = np.asarray(kind.homes)
    away = here[:, None, :] - homes[None, :, :2]
    away[..., 0] *= np.cos(np.radians(here[:, None, 1]))
    nearest: NDArray[np.float64] = (np.linalg.norm(away, axis=2) / homes[:, 2]).min(axis=1)
    return nearest


def _figures(
    blend: NDArray[np.float64], rng: np.random.Generator, population: int | None = None
) -> dict[str, NDArray[Any]]:
    """Generate the 34 features (n,).

    The two smallest places have empty cells, as small samples have in the real survey.
    """
    n = len(blend)
    hardship = rng.normal(0.0, 1.0, n)  # one hidden factor: low incomes, poverty and joblessness go together

    def of(field: str) -> NDArray[np.float64]:
        return blend @ np.asarray([getattr(kind, field) for kind in KINDS], dtype=np.float64)

    median = of("population") if population is None else np.full(n, float(population))
    people = np.clip(median * rng.lognormal(0.0, 1.0 if population is None else 0.4, n), 90, 9e6).astype(int)
    men = np.rint(people * rng.normal(0.498, 0.012, n)).astype(int)
    income = np.rint(of("income") * np.exp(-0.14 * hardship + rng.normal(0, 0.09, n)))
    per_head = np.rint(income * rng.normal(0.52, 0.025, n)).astype(int)
    noise = 55.0 / np.sqrt(people)  # a margin of error shrinks with the sample
    poverty = np.clip(of("poverty") * np.exp(0.22 * hardship + rng.normal(0, 0.13, n)), 1.5, 70)
    table = {
        "TotalPop": people,
        "Men": men,
        "Women": people - men,
        **_shares(of("races"), 32, rng, _RACES, whole=False),
        "Citizen": np.rint(people * np.clip(of("citizens") + rng.normal(0, 0.02, n), 0.3, 0.95)).astype(int),
        "Income": income,
        "IncomeErr": np.rint(np.maximum(income * noise * rng.uniform(0.12, 0.2, n), 150)),
        "IncomePerCap": per_head,
        "IncomePerCapErr": np.rint(np.maximum(per_head * noise * rng.uniform(0.1, 0.18, n), 90)).astype(int),
        "Poverty": poverty.round(1),
        "ChildPoverty": np.clip(poverty * rng.normal(1.38, 0.1, n), 1, 90).round(1),
        **_shares(of("occupations"), 170, rng, _OCCUPATIONS),
        **_shares(of("commutes"), 170, rng, _COMMUTES),
        "MeanCommute": np.clip(of("minutes") + rng.normal(0, 3.2, n), 5, 45).round(1),
        "Employed": np.rint(people * np.clip(of("employed") + rng.normal(0, 0.025, n), 0.1, 0.8)).astype(int),
        **_shares(of("employers"), 170, rng, _EMPLOYERS),
    }
    jobless = of("unemployment") * np.exp(0.22 * hardship + rng.normal(0, 0.15, n))
    table["Unemployment"] = np.clip(jobless, 0.5, 40).round(1)
    smallest, next_smallest = people.argsort(kind="stable")[:2]
    table["Income"][smallest] = table["IncomeErr"][smallest] = np.nan
    table["ChildPoverty"][next_smallest] = np.nan
    return table


def _shares(
    mean: NDArray[np.float64],
    steadiness: float,
    rng: np.random.Generator,
    names: list[str],
    *,
    whole: bool = True,
) -> dict[str, NDArray[np.float64]]:
    """Generate shares in percent, rounded to one decimal, around `mean`; they sum to 100 if `whole` is true.

    The shares follow a Dirichlet distribution, sampled as gamma variates divided by their sum. The largest share
    absorbs the rounding error.
    """
    rest = np.full((len(mean), 1), 0.0) if whole else 100 - mean.sum(axis=1, keepdims=True)
    drawn = rng.gamma(np.hstack([mean, rest]) / 100 * steadiness)
    tenths = np.rint(1000 * drawn / drawn.sum(axis=1, keepdims=True))
    if whole:
        tenths[np.arange(len(tenths)), tenths.argmax(axis=1)] += 1000 - tenths.sum(axis=1)
    return {name: tenths[:, i] / 10 for i, name in enumerate(names)}
