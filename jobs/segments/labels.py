"""labeled_counties.csv: written a shard at a time by Label, put together by Publish.

Names are known only after every shard is labeled, so a part's rows end in a mark of their label, which `fill_in_names`
replaces by the segment's name. The mark starts with the ASCII unit separator, which no census cell may hold.
"""

import csv
import io
from collections.abc import Mapping

import numpy as np

from jobs.segments.rows import Regions

_MARK = "\x1f"


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
    """Return a part of labeled_counties.csv: its rows, with marks for the segments' names.

    Parameters
    ----------
    components
        (rows, kept) float32, largest first; written with the nine digits that float32 needs to come back unchanged.
    labels, distances
        (rows,) as the k-means endpoint answered.
    """
    text = io.StringIO()
    numbers = np.column_stack([components, labels, distances]).tolist()
    form = ",".join(["%.9g"] * components.shape[1] + ["%d", "%.9g"])
    writer = csv.writer(text, lineterminator="")
    for region, row in zip(zip(regions.ids, regions.states, regions.counties, strict=True), numbers, strict=True):
        writer.writerow(region)
        text.write(f",{form % tuple(row)},{_MARK}{row[-2]:.0f}\n")
    return text.getvalue().encode()


def fill_in_names(part: bytes, names: Mapping[int, str]) -> bytes:
    """Replace a part's marks by the segments' names, quoted for CSV."""
    for label, name in names.items():
        quoted = '"' + name.replace('"', '""') + '"'
        part = part.replace(f",{_MARK}{label}\n".encode(), f",{quoted}\n".encode())
    return part
