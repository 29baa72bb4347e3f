"""Reads labeled_counties.csv for a comparison: who each row is, its label, and how sure the label is."""

import csv
import io
import re
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from jobs.segments.kmeans import distances
from jobs.segments.rows import Rows
from jobs.series.regions import Regions

_COMPONENT = re.compile(r"c_\d+")

__all__ = ["LabeledRows"]


@dataclass(frozen=True)
class LabeledRows:
    """The rows of one run's result.

    Attributes
    ----------
    regions
        n ids and names.
    labels
        (n,) each row's label.
    margins
        (n,) (d2 - d1) / (d1 + d2) of the distances to the own and the second nearest centroid: 0 on the border of two
        segments, 1 on a centroid.
    stability
        (n,) share of bootstrap refits in which the row keeps its segment; None for a run without.
    """

    regions: Regions
    labels: NDArray[np.intp]
    margins: NDArray[np.float64]
    stability: NDArray[np.float64] | None

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, rows: Rows, *, has_ids: bool) -> Self:
        """Take the rows of a run that is being published."""
        return cls(
            regions=Regions(rows.ids, rows.names, has_ids=has_ids),
            labels=rows.labels.astype(np.intp),
            margins=rows.margins,
            stability=rows.stabilities,
        )

    @classmethod
    def read(cls, content: bytes, centroids: NDArray[np.float64], *, has_ids: bool) -> Self:
        """Read labeled_counties.csv.

        Parameters
        ----------
        content
            The file's bytes.
        centroids
            (k, c) in component space, for the margins.
        has_ids
            Whether the id column holds ids; false where it holds the row's number.

        Raises
        ------
        ValueError
            When a column is missing, or a cell is not what the column holds.
        """
        table = csv.reader(io.StringIO(content.decode(), newline=""))
        header = next(table, [])
        components = [place for place, name in enumerate(header) if _COMPONENT.fullmatch(name)]
        if len(components) != centroids.shape[1]:
            raise ValueError(f"it has {len(components)} components; its centroids have {centroids.shape[1]}")
        state, county, label = (_place(header, name) for name in ("State", "County", "label"))
        stability = header.index("stability") if "stability" in header else None
        numbers = [*components, label, *([stability] if stability is not None else [])]
        ids, names, figures = [], [], []
        for row in table:
            ids.append(row[0])
            names.append(f"{row[state]}-{row[county]}")
            figures.append(np.array([row[place] for place in numbers], dtype=np.float64))
        matrix = np.array(figures).reshape(len(ids), len(numbers))
        labels = matrix[:, len(components)].astype(np.intp)
        return cls(
            regions=Regions(ids, names, has_ids=has_ids),
            labels=labels,
            margins=_margins(matrix[:, : len(components)], centroids),
            stability=matrix[:, -1] if stability is not None else None,
        )


def _place(header: list[str], name: str) -> int:
    if name not in header:
        raise ValueError(f"it has no column {name}; its columns are {', '.join(header) or 'missing'}")
    return header.index(name)


def _margins(components: NDArray[np.float64], centroids: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(centroids) < 2 or not len(components):
        return np.ones(len(components))
    first, second = np.partition(distances(components, centroids), 1, axis=1)[:, :2].T
    total = first + second
    margins: NDArray[np.float64] = np.divide(second - first, total, out=np.zeros(len(total)), where=total > 0)
    return margins
