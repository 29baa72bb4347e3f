"""Reads labeled_counties.csv for a comparison: who each row is, its label, and how sure the label is."""

import csv
import io
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from jobs.segments.rows import Rows
from jobs.series.regions import Regions

__all__ = ["LabeledRows"]


@dataclass(frozen=True)
class LabeledRows:
    """The rows of one run's result.

    Attributes
    ----------
    regions
        n ids and names.
    labels
        (n,) each row's label: the number of its segment within the series.
    margins
        (n,) (d2 - d1) / (d1 + d2) of the distances to the own and the second nearest centroid: 0 on the border of two
        segments, 1 on a centroid.
    stability
        (n,) share of bootstrap refits in which the row keeps its segment.
    """

    regions: Regions
    labels: NDArray[np.intp]
    margins: NDArray[np.float64]
    stability: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, rows: Rows, numbers: NDArray[np.intp], *, has_ids: bool) -> Self:
        """Take the rows of a run that is being published; `numbers` (k,) has the label of each centroid."""
        return cls(
            regions=Regions(rows.ids, rows.names, has_ids=has_ids),
            labels=numbers[rows.labels],
            margins=rows.margins,
            stability=rows.stabilities,
        )

    @classmethod
    def read(cls, content: bytes, *, has_ids: bool) -> Self:
        """Read labeled_counties.csv.

        Parameters
        ----------
        content
            The file's bytes.
        has_ids
            Whether the id column holds ids; false where it holds the row's number.

        Raises
        ------
        ValueError
            If a column is missing, or a cell is not what the column holds.
        """
        table = csv.reader(io.StringIO(content.decode(), newline=""))
        header = next(table, [])
        state, county, *numbers = (_place(header, name) for name in ("State", "County", "label", "margin", "stability"))
        ids, names, figures = [], [], []
        for row in table:
            ids.append(row[0])
            names.append(f"{row[state]}-{row[county]}")
            figures.append([float(row[place]) for place in numbers])
        labels, margins, stability = np.array(figures).reshape(len(ids), len(numbers)).T
        return cls(
            regions=Regions(ids, names, has_ids=has_ids),
            labels=labels.astype(np.intp),
            margins=margins,
            stability=stability,
        )


def _place(header: list[str], name: str) -> int:
    if name not in header:
        raise ValueError(f"it has no column {name}; its columns are {', '.join(header) or 'missing'}")
    return header.index(name)
