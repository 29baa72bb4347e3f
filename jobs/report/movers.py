"""What the report shows of the regions in another segment than in the previous run: the kinds of moves, and the map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.segments.rows import Rows
from jobs.series.changes import Changes, Mover


@dataclass(frozen=True)
class Kind:
    """A kind of region on the map of movers: its name, and what it means."""

    name: str
    meaning: str


KINDS = (
    Kind("Clearly moved", "the previous run's model moves it as well, and it is not near a border"),
    Kind("Moved near a border", "the previous run's model moves it as well, but only just"),
    Kind("Only the model changed", "the previous run's model keeps it in its segment"),
    Kind("Moved, cause unknown", "the previous run's model cannot be applied to this file"),
    Kind("Not compared", "new, or with other boundaries than before"),
)
"""In the order of the legend, the most certain moves first; the last kind are not movers."""

_CLEAR, _NEAR_BORDER, _BY_MODEL, _UNKNOWN, _NOT_COMPARED = range(len(KINDS))


@dataclass(frozen=True)
class MoversMap:
    """The map of movers.

    Attributes
    ----------
    counts
        Number of shapes of each kind.
    data
        Columns for the page's script: for each shape `row`, `kind`, `before` and `now` (numbers of segments, or None)
        and `certainty`; and the `names` of the kinds.
    """

    counts: tuple[int, ...]
    data: Mapping[str, Any]

    @property
    def legend(self) -> list[tuple[int, Kind, int]]:
        """The kinds that occur, each with its index and its number of shapes."""
        return [(index, KINDS[index], count) for index, count in enumerate(self.counts) if count]


def movers_map(changes: Changes | None, listed: Rows | None, drawn: Mapping[str, int]) -> MoversMap | None:
    """Return the movers and the regions that were not compared, or None if the map would show none.

    Parameters
    ----------
    changes, listed
        What changed, and the run's rows.
    drawn
        The row of each shape on the map; see `jobs.report.counties.CountyMap.rows`.
    """
    if changes is None or listed is None or not changes.is_compared:
        return None
    rows = set(drawn.values())
    row_of = {row_id: row for row, row_id in enumerate(listed.ids)}
    movers = [(row_of[mover.id], mover) for mover in changes.movers if row_of.get(mover.id) in rows]
    names = {*changes.regions["new"], *changes.regions["not_comparable_current"]}
    apart = [row for row, name in enumerate(listed.names) if name in names and row in rows]
    kinds = [*(_kind(mover) for _, mover in movers), *(_NOT_COMPARED for _ in apart)]
    if not kinds:
        return None
    nothing = [None] * len(apart)
    return MoversMap(
        counts=tuple(np.bincount(kinds, minlength=len(KINDS)).tolist()),
        data={
            "names": [kind.name for kind in KINDS],
            "row": [*(row for row, _ in movers), *apart],
            "kind": kinds,
            "before": [*(mover.before for _, mover in movers), *nothing],
            "now": [*(mover.now for _, mover in movers), *nothing],
            "certainty": [*(round(mover.certainty, 3) for _, mover in movers), *nothing],
        },
    )


def _kind(mover: Mover) -> int:
    if mover.cause is None:
        return _UNKNOWN
    if mover.cause == "model":
        return _BY_MODEL
    return _CLEAR if mover.clear else _NEAR_BORDER


def with_names(changes: Changes | None, listed: int) -> Sequence[tuple[Mover, str, str]]:
    """Return the most certain movers, `listed` at most, each with the names of its segments before and now."""
    if changes is None:
        return []
    before, now = segment_names(changes)
    return [(mover, before[mover.before], now[mover.now]) for mover in changes.movers[:listed]]


def segment_names(changes: Changes) -> tuple[dict[int, str], dict[int, str]]:
    """Return the names of the segments by number: in the previous run, and in this one."""
    before = {segment.number: segment.previous_name for segment in changes.segments if segment.previous_name}
    now = {segment.number: segment.name for segment in changes.segments if segment.status != "vanished"}
    return before, now
