"""The format of labeled_counties.csv, which Label writes in parts and Publish puts together.

The names of the segments are known only after every shard is labeled. Each row of a part therefore holds a
placeholder for its label, which `fill_in_names` replaces by the name. A placeholder is enclosed in the ASCII unit
separator, which Prepare does not accept in a cell.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from jobs.segments.rows import Certainty, Regions

_SEPARATOR = "\x1f"
_AFTER_COMPONENTS = ("label", "distance", "segment", "runner_up", "margin", "stability")


def read_regions(text: bytes) -> Regions:
    """Read rows of regions.csv, without its header: id, state, county."""
    rows = list(csv.reader(io.StringIO(text.decode(), newline="")))
    ids, states, counties = zip(*rows, strict=True) if rows else ((), (), ())
    return Regions(ids=ids, states=states, counties=counties)


def header(components: int) -> bytes:
    """Return the first line of labeled_counties.csv."""
    names = [f"c_{number + 1}" for number in range(components)]
    return (",".join(["CensusId", "State", "County", *names, *_AFTER_COMPONENTS]) + "\n").encode()


def labeled_rows(
    regions: Regions, components: np.ndarray, labels: np.ndarray, distances: np.ndarray, certainty: Certainty
) -> bytes:
    """Return a part of labeled_counties.csv: its rows, with placeholders for the names of the segments.

    Parameters
    ----------
    components
        (rows, kept) float32, largest first; written with nine digits, from which float32 is read back unchanged.
    labels, distances
        (rows,) as the k-means endpoint returned them.
    certainty
        Of the same rows; margins are written with six decimals.
    """
    columns = [components, labels, distances, labels, certainty.runners_up, certainty.margins, certainty.stabilities]
    numbers = np.column_stack(columns)
    form = ",".join(
        ["%.9g"] * components.shape[1] + ["%d", "%.9g", f"{_SEPARATOR}%d{_SEPARATOR}", "%d", "%.6f", "%.9g\n"]
    )
    names = _as_csv(zip(regions.ids, regions.states, regions.counties, strict=True))
    return "".join(
        f"{name},{form % row}" for name, row in zip(names, map(tuple, numbers.tolist()), strict=True)
    ).encode()


def _as_csv(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return each row as a line of CSV without its end."""
    text = io.StringIO()
    csv.writer(text, lineterminator=_SEPARATOR).writerows(rows)
    return text.getvalue().split(_SEPARATOR)[:-1]


def fill_in_names(part: bytes, names: Mapping[int, str]) -> bytes:
    """Replace the placeholders of a part by the names of the segments, quoted for CSV."""
    quoted = {str(label).encode(): ('"' + name.replace('"', '""') + '"').encode() for label, name in names.items()}
    pieces = part.split(_SEPARATOR.encode())
    pieces[1::2] = [quoted[label] for label in pieces[1::2]]
    return b"".join(pieces)
