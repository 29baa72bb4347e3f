"""The format of labeled_counties.csv, which Label writes in parts and Publish puts together.

The names of the segments are known only after every shard is labeled. Each row of a part therefore holds a
placeholder for its label, which `fill_in_names` replaces by the name. A placeholder is enclosed in the ASCII unit
separator, which Prepare does not accept in a cell.
"""

import csv
import io
from collections.abc import Mapping

import numpy as np

from jobs.segments.rows import Certainty, Regions

_PLACEHOLDER = "\x1f"
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
    text = io.StringIO()
    columns = [components, labels, distances, labels, certainty.runners_up, certainty.margins, certainty.stabilities]
    numbers = np.column_stack(columns).tolist()
    form = ",".join(
        ["%.9g"] * components.shape[1] + ["%d", "%.9g", f"{_PLACEHOLDER}%d{_PLACEHOLDER}", "%d", "%.6f", "%.9g"]
    )
    writer = csv.writer(text, lineterminator="")
    for region, row in zip(zip(regions.ids, regions.states, regions.counties, strict=True), numbers, strict=True):
        writer.writerow(region)
        text.write(f",{form % tuple(row)}\n")
    return text.getvalue().encode()


def fill_in_names(part: bytes, names: Mapping[int, str]) -> bytes:
    """Replace the placeholders of a part by the names of the segments, quoted for CSV."""
    for label, name in names.items():
        quoted = '"' + name.replace('"', '""') + '"'
        part = part.replace(f"{_PLACEHOLDER}{label}{_PLACEHOLDER}".encode(), quoted.encode())
    return part
