"""The format of labeled_counties.csv, which Label writes in parts and Publish puts together.

The names of the segments are known only after every shard is labeled. Each row of a part therefore holds a
placeholder for its label, which `fill_in_names` replaces by the name. A placeholder is enclosed in the ASCII unit
separator, which Prepare does not accept in a cell.
"""

from collections.abc import Iterator, Mapping
from itertools import chain

import numpy as np

from jobs.segments import decimals
from jobs.segments.rows import Certainty, Regions

_SEPARATOR = "\x1f"
_BLOCK_ROWS = 2048  # written at a time: their columns stay in a processor's cache
_BLOCK_BYTES = 1024 * 1024
_AFTER_COMPONENTS = ("label", "distance", "segment", "runner_up", "margin", "stability", "previous_model_label")


def header(components: int) -> bytes:
    """Return the first line of labeled_counties.csv."""
    names = [f"c_{number + 1}" for number in range(components)]
    return (",".join(["CensusId", "State", "County", *names, *_AFTER_COMPONENTS]) + "\n").encode()


def labeled_rows(
    regions: Regions,
    components: np.ndarray,
    labels: np.ndarray,
    distances: np.ndarray,
    certainty: Certainty,
    *,
    numbers: np.ndarray,
    previous_labels: np.ndarray | None = None,
) -> bytes:
    """Return a part of labeled_counties.csv: its rows, with placeholders for the names of the segments.

    Parameters
    ----------
    components
        (rows, kept) float32, largest first; written with nine digits, from which float32 is read back unchanged.
    labels, distances
        (rows,) as the k-means endpoint returned them; labels are indices of centroids.
    certainty
        Of the same rows; margins are written with six decimals.
    numbers
        (k,) the segment's number within the series for each centroid: what the file calls the label.
    previous_labels
        (rows,) the numbers by the previous run's model; without it, the cells are empty.
    """

    def lines(rows: slice) -> Iterator[bytes]:
        label = decimals.integers(numbers[labels[rows]])
        measured = np.column_stack([components[rows], distances[rows], certainty.stabilities[rows]])
        *projected, distance, stability = decimals.significant(measured).swapaxes(0, 1)
        columns = [
            *projected,
            label,
            distance,
            decimals.join(_SEPARATOR, label, _SEPARATOR),
            decimals.integers(numbers[certainty.runners_up[rows]]),
            decimals.fixed(certainty.margins[rows]),
            stability,
            label[:, :0] if previous_labels is None else decimals.integers(previous_labels[rows]),
        ]
        return map(b",".join, zip(regions.lines[rows], decimals.lines(columns), strict=True))

    blocks = (slice(start, start + _BLOCK_ROWS) for start in range(0, len(labels), _BLOCK_ROWS))
    return b"\n".join([*chain.from_iterable(map(lines, blocks)), b""])


def fill_in_names(part: bytes, names: Mapping[int, str]) -> Iterator[bytes]:
    """Yield a part in blocks, with its placeholders replaced by the names of the segments, quoted for CSV.

    A part is some megabytes, and the pieces that it is split into would take twice as much.
    """
    quoted = {str(label).encode(): ('"' + name.replace('"', '""') + '"').encode() for label, name in names.items()}
    start = 0
    while start < len(part):
        # A block ends with a line, so it cuts no placeholder.
        end = part.find(b"\n", start + _BLOCK_BYTES) + 1 or len(part)
        pieces = part[start:end].split(_SEPARATOR.encode())
        pieces[1::2] = [quoted[label] for label in pieces[1::2]]
        yield b"".join(pieces)
        start = end
