"""The format of labeled_counties.csv, which Label writes in parts and Publish puts together.

The names of the segments are known only after every shard is labeled. Each row of a part therefore ends in a
placeholder for its label, which `fill_in_names` replaces by the name. A placeholder begins with the ASCII unit
separator, which Prepare does not accept in a cell.
"""

import csv
import io
from collections.abc import Mapping

import numpy as np

from jobs.segments.rows import Regions

_PLACEHOLDER = "\x1f"


def read_regions(text: bytes) -> Regions:
    """Read rows of regions.csv, without its header: id, state, county."""
    rows = list(csv.reader(io.StringIO(text.decode(), newline="")))
    ids, states, counties = zip(*rows, strict=True) if rows else ((), (), ())
    return Regions(ids=ids, states=states, counties=counties)


def header(components: int) -> bytes:
    """Return the first line of labeled_counties.csv."""
    names = [f"c_{number + 1}" for number in range(components)]
    return (",".join(["CensusId", "State", "County", *names, "label", "distance", "segment"]) + "\n").encode()


def labeled_rows(regions: Regions, components: np.ndarray, labels: np.ndarray, distances: np.ndarray) -> bytes:
    """Return a part of labeled_counties.csv: its rows, with placeholders for the names of the segments.

    Parameters
    ----------
    components
        (rows, kept) float32, largest first; written with nine digits, from which float32 is read back unchanged.
    labels, distances
        (rows,) as the k-means endpoint returned them.
    """
    text = io.StringIO()
    numbers = np.column_stack([components, labels, distances]).tolist()
    form = ",".join(["%.9g"] * components.shape[1] + ["%d", "%.9g"])
    writer = csv.writer(text, lineterminator="")
    for region, row in zip(zip(regions.ids, regions.states, regions.counties, strict=True), numbers, strict=True):
        writer.writerow(region)
        text.write(f",{form % tuple(row)},{_PLACEHOLDER}{row[-2]:.0f}\n")
    return text.getvalue().encode()


def fill_in_names(part: bytes, names: Mapping[int, str]) -> bytes:
    """Replace the placeholders of a part by the names of the segments, quoted for CSV."""
    for label, name in names.items():
        quoted = '"' + name.replace('"', '""') + '"'
        part = part.replace(f",{_PLACEHOLDER}{label}\n".encode(), f",{quoted}\n".encode())
    return part
