"""Says what changed from one run of a series to the next: changes.json.

A county's segment can change because the county changed, or because the model did. The previous run's model, applied
to the current rows, separates the two: where it puts a county in another segment than before, the county moved; where
it keeps the county and only the new model does not, the model moved.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from jobs.segments.alignment import adjusted_rand
from jobs.series.columns import ColumnMatch
from jobs.series.drift import FeatureDrift
from jobs.series.labeled import LabeledRows
from jobs.series.regions import RegionMatch, match_regions

CLEAR_MARGIN = 0.01
"""A mover with a smaller margin, before or now, lies so close to a border that its change of segment says little."""

LISTED_MOVERS = 1_000
LISTED_REGIONS = 1_000
DRIFTING_FEATURES = 5

__all__ = ["Changes", "Mover", "SegmentSummary", "compare", "not_compared"]


@dataclass(frozen=True)
class SegmentSummary:
    """One segment of a run.

    Attributes
    ----------
    number
        Its number within the series.
    name, size
        Its name, and how many rows it has.
    means
        Per feature the mean of its rows, in original units, by the previous file's names.
    """

    number: int
    name: str
    size: int
    means: Mapping[str, float]


@dataclass(frozen=True)
class Mover:
    """A region in another segment than before.

    Attributes
    ----------
    id, name
        As the current file has them.
    before, now
        Numbers of its segments.
    cause
        ``place``: the previous model, too, puts it in another segment than before. ``model``: the previous model keeps
        it where it was. None where there is no previous model's view.
    certainty
        0..1: the smaller margin of the two labels, times the smaller of their stabilities.
    clear
        Whether the place moved (`cause`), and not only across a border (both margins are `CLEAR_MARGIN` or more).
    margin_before, margin_now, stability_before, stability_now
        How sure the label was and is.
    """

    id: str
    name: str
    before: int
    now: int
    cause: Literal["place", "model"] | None
    certainty: float
    clear: bool
    margin_before: float
    margin_now: float
    stability_before: float
    stability_now: float


class MeanDrift(TypedDict):
    """A feature's mean over a segment's rows before and now; `shift` is in standard deviations of the previous rows."""

    feature: str
    before: float
    now: float
    shift: float


@dataclass(frozen=True)
class SegmentChange:
    """A segment before and now; `drift` lists the features whose mean moved most."""

    number: int
    status: Literal["kept", "new", "vanished"]
    name: str
    previous_name: str | None
    size: int
    previous_size: int
    distance: float | None
    drift: Sequence[MeanDrift] = ()


@dataclass(frozen=True)
class Agreement:
    """How alike the labels of the regions in both files are.

    Attributes
    ----------
    adjusted_rand
        Of the labels before and now: 1 for the same segments, about 0 for unrelated ones.
    baseline
        The fifth percentile of what resampling and reseeding alone give on the current rows: a value below it is more
        than noise.
    moved_places, moved_by_model
        Regions whose segment changed because of the place, or of the model alone; None without the previous model's
        view.
    """

    adjusted_rand: float
    baseline: float
    moved_places: int | None
    moved_by_model: int | None


@dataclass(frozen=True)
class Changes:
    """Everything in changes.json; where `reason` is given, there is no comparison and all else is empty."""

    run_id: str
    previous_run_id: str | None
    reason: str | None = None
    verdict: str = ""
    vintage: int | None = None
    previous_vintage: int | None = None
    warnings: tuple[str, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)
    regions: Mapping[str, Any] = field(default_factory=dict)
    agreement: Agreement | None = None
    segments: tuple[SegmentChange, ...] = ()
    transitions: Mapping[str, Any] = field(default_factory=dict)
    movers_count: int = 0
    movers: tuple[Mover, ...] = ()
    features: tuple[FeatureDrift, ...] = ()

    @property
    def is_compared(self) -> bool:
        """Whether there is a comparison."""
        return self.reason is None

    def to_json(self) -> str:
        """Write changes.json: UTF-8 text, finite numbers only."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1, allow_nan=False)


def not_compared(run_id: str, previous_run_id: str | None, reason: str) -> Changes:
    """Return what changes.json says where a comparison is not possible."""
    return Changes(run_id=run_id, previous_run_id=previous_run_id, reason=reason)


@dataclass(frozen=True)
class RunSide:
    """One of the two runs that are compared.

    Attributes
    ----------
    run_id, vintage
        Which run, and the year that its file describes.
    rows
        Its labeled rows.
    segments
        Its segments.
    """

    run_id: str
    vintage: int | None
    rows: LabeledRows
    segments: Sequence[SegmentSummary]


def compare(
    previous: RunSide,
    current: RunSide,
    *,
    columns: ColumnMatch,
    drifts: Sequence[FeatureDrift],
    spread: Mapping[str, float],
    distances: Mapping[int, float],
    previous_view: NDArray[np.intp] | None,
    baseline: float,
    warnings: Sequence[str] = (),
) -> Changes:
    """Compare a run with the one before it in its series.

    Parameters
    ----------
    previous, current
        The two runs.
    columns, drifts
        Which features are the same, and how each moved.
    spread
        Standard deviation of each feature over the previous file's rows, by the previous file's names.
    distances
        How far the centroid of each kept segment moved, in standard deviations.
    previous_view
        (n,) number of the segment that the previous run's model gives each current row; None if it has none.
    baseline
        Adjusted Rand index that resampling and reseeding alone reach in 95 of 100 cases.
    """
    match = match_regions(previous.rows.regions, current.rows.regions)
    pairs = _Pairs(
        match,
        before=previous.rows.labels[match.previous],
        now=current.rows.labels[match.current],
        view=None if previous_view is None else previous_view[match.current],
    )
    rows, table, labels = _transitions(pairs.before, pairs.now)
    movers, moved_places = _movers(previous, current, pairs), pairs.moved_places
    agreement = Agreement(
        adjusted_rand=adjusted_rand(table),
        baseline=baseline,
        moved_places=moved_places,
        moved_by_model=None if moved_places is None else len(movers) - moved_places,
    )
    return Changes(
        run_id=current.run_id,
        previous_run_id=previous.run_id,
        verdict=_verdict(agreement, movers, len(match.previous), drifted=any(each.alarm for each in drifts)),
        vintage=current.vintage,
        previous_vintage=previous.vintage,
        warnings=tuple(warnings),
        columns={
            "matched": columns.names,
            "renamed": columns.renamed,
            "new": list(columns.new),
            "missing": list(columns.missing),
            "meaning": columns.sentences(),
        },
        regions=_regions(previous, current, match),
        agreement=agreement,
        segments=_segments(previous, current, spread, distances),
        transitions={"from": rows, "to": labels, "counts": table.tolist()},
        movers_count=len(movers),
        movers=tuple(movers[:LISTED_MOVERS]),
        features=tuple(sorted(drifts, key=lambda each: -each.psi)),
    )


def _transitions(before: NDArray[np.intp], now: NDArray[np.intp]) -> tuple[list[int], NDArray[np.int64], list[int]]:
    """Return the numbers before, the counts (numbers before, numbers now), and the numbers now."""
    rows, from_row = np.unique(before, return_inverse=True)
    columns, from_column = np.unique(now, return_inverse=True)
    counts = np.zeros((len(rows), len(columns)), dtype=np.int64)
    np.add.at(counts, (from_row, from_column), 1)
    return rows.tolist(), counts, columns.tolist()


@dataclass(frozen=True)
class _Pairs:
    """Regions of both files: numbers of their segments before, now, and now by the previous model, all (n,)."""

    match: RegionMatch
    before: NDArray[np.intp]
    now: NDArray[np.intp]
    view: NDArray[np.intp] | None

    @property
    def moved(self) -> NDArray[np.intp]:
        """Which of them are in another segment than before."""
        return np.flatnonzero(self.before != self.now)

    @property
    def moved_places(self) -> int | None:
        """How many moved by the previous model as well."""
        if self.view is None:
            return None
        return int(((self.view != self.before) & (self.before != self.now)).sum())


def _movers(previous: RunSide, current: RunSide, pairs: _Pairs) -> list[Mover]:
    """Return the regions that moved, the most certain first; those that moved by themselves before the others."""
    moved, before, now, view = pairs.moved, pairs.before, pairs.now, pairs.view
    old, new = pairs.match.previous[moved], pairs.match.current[moved]
    margins = previous.rows.margins[old], current.rows.margins[new]
    stability = previous.rows.stability[old], current.rows.stability[new]
    certainty = np.minimum(*margins) * np.minimum(*stability)
    by_model = np.ones(len(moved), bool) if view is None else view[moved] == before[moved]
    regions = current.rows.regions
    return [
        Mover(
            id=regions.ids[new[i]],
            name=regions.names[new[i]],
            before=int(before[moved[i]]),
            now=int(now[moved[i]]),
            cause=None if view is None else "model" if by_model[i] else "place",
            certainty=round(float(certainty[i]), 6),
            clear=bool(min(margins[0][i], margins[1][i]) >= CLEAR_MARGIN and not by_model[i]),
            margin_before=round(float(margins[0][i]), 6),
            margin_now=round(float(margins[1][i]), 6),
            stability_before=float(stability[0][i]),
            stability_now=float(stability[1][i]),
        )
        for i in np.lexsort((-certainty, by_model)).tolist()
    ]


def _regions(previous: RunSide, current: RunSide, match: RegionMatch) -> dict[str, Any]:
    old, new = previous.rows.regions, current.rows.regions
    return {
        "compared": len(match.previous),
        "gone_count": len(match.gone),
        "gone": [old.names[i] for i in match.gone[:LISTED_REGIONS].tolist()],
        "new_count": len(match.new),
        "new": [new.names[i] for i in match.new[:LISTED_REGIONS].tolist()],
        "renamed": [asdict(change) for change in match.renamed],
        "not_comparable": [asdict(change) for change in match.not_comparable],
        "not_comparable_previous": [old.names[i] for i in match.previous_excluded.tolist()],
        "not_comparable_current": [new.names[i] for i in match.current_excluded.tolist()],
    }


def _segments(
    previous: RunSide, current: RunSide, spread: Mapping[str, float], distances: Mapping[int, float]
) -> tuple[SegmentChange, ...]:
    before = {segment.number: segment for segment in previous.segments}
    now = {segment.number: segment for segment in current.segments}
    changes = []
    for number in sorted(before | now):
        was, becomes = before.get(number), now.get(number)
        shown = becomes or was
        assert shown is not None  # noqa: S101 - for the type checker: each number is of one of the two
        changes.append(
            SegmentChange(
                number=number,
                status="kept" if was and becomes else "new" if becomes else "vanished",
                name=shown.name,
                previous_name=was.name if was else None,
                size=becomes.size if becomes else 0,
                previous_size=was.size if was else 0,
                distance=distances.get(number),
                drift=_profile_drift(was, becomes, spread) if was and becomes else (),
            )
        )
    return tuple(changes)


def _profile_drift(was: SegmentSummary, becomes: SegmentSummary, spread: Mapping[str, float]) -> list[MeanDrift]:
    moves = [
        MeanDrift(
            feature=name,
            before=was.means[name],
            now=becomes.means[name],
            shift=(becomes.means[name] - was.means[name]) / spread[name],
        )
        for name in was.means
        if name in becomes.means and spread.get(name, 0) > 0
    ]
    return sorted(moves, key=lambda each: -abs(each["shift"]))[:DRIFTING_FEATURES]


def _verdict(agreement: Agreement, movers: Sequence[Mover], compared: int, *, drifted: bool) -> str:
    """Say in one sentence whether the change is more than noise."""
    if not compared:
        return "No region of the current file was found in the previous one, so nothing can be compared."
    if not movers:
        return "Nothing changed: every region is in the same segment as before."
    share = f"{len(movers):,} of {compared:,} regions ({len(movers) / compared:.1%}) are in another segment"
    scores = f"adjusted Rand index {agreement.adjusted_rand:.2f}, by chance alone at least {agreement.baseline:.2f}"
    clear = sum(mover.clear for mover in movers)
    moved = f", {clear:,} of which clearly moved by the previous run's model as well" if clear else ""
    if agreement.adjusted_rand < agreement.baseline:
        said = f"The segments changed more than resampling and reseeding explain ({scores}): {share}{moved}"
    elif clear:
        said = f"The segments are the same within noise ({scores}), but places moved between them: {share}{moved}"
    else:
        said = f"Nothing changed beyond noise ({scores}): {share}, as many as resampling and reseeding alone would move"
    return said + ("; the distribution of at least one feature changed substantially." if drifted else ".")
