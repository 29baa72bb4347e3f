"""Runs of a series computed here, as their files would be stored, and vintages derived from a real file."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from jobs.sagemaker.ndarray import save
from jobs.segments.assign import SegmentModel
from jobs.segments.labels import fill_in_names, header, labeled_rows
from jobs.segments.rows import Certainty
from jobs.series.alignment import ModelFiles, Predecessor, align
from jobs.series.changes import Changes
from jobs.series.comparison import CurrentRun, PreviousRun, compare_runs
from jobs.series.history import HistoryEntry, SegmentEntry
from tests.census_run import Run, fit_pca, regions_of, segment_table
from tests.unit.jobs.segments.test_pca import artifact
from tests.vintages import with_planning_regions

KEPT, CLUSTERS = 7, 8


def run_of(table: pd.DataFrame, *, seed: int = 0, starts: int = 10) -> Run:
    """Segment a table as a refined run does: the best of several starts."""
    complete = table.dropna()
    values = complete.iloc[:, 3:].to_numpy(dtype=float)
    scaled = ((values - values.min(axis=0)) / np.ptp(values, axis=0)).astype(np.float32)
    pca = fit_pca(scaled)
    components = (scaled - pca.mean) @ pca.components[:, :KEPT]
    centroids = KMeans(CLUSTERS, n_init=starts, random_state=seed).fit(components).cluster_centers_
    return segment_table(table, kept=KEPT, centroids=centroids, signs=False)


@dataclass(frozen=True)
class Stored:
    """A run's files as a later run finds them, with its entry in the history."""

    entry: HistoryEntry
    model: ModelFiles
    results: PreviousRun


@dataclass(frozen=True)
class Comparison:
    """What changed, and the number within the series of each of the run's centroids (k,)."""

    changes: Changes
    numbers: list[int]


def previous_run(run: Run, *, run_id: str = "before", vintage: int | None = None) -> Stored:
    """Store a run's files as a later run finds them."""
    ids, states, counties = (run.table.iloc[:, place].astype(str).tolist() for place in range(3))
    to_own = run.components - run.centroids[run.labels]
    distances = np.sqrt((to_own**2).sum(axis=1))
    listed = run.statistics.listed
    assert listed is not None
    certainty = Certainty(listed.runners_up, listed.margins, listed.stabilities)
    regions = regions_of(ids, states, counties)
    rows = labeled_rows(regions, run.components, run.labels, distances, certainty, numbers=np.arange(CLUSTERS))
    names = {segment["label"]: segment["name"] for segment in run.document["segments"]}
    pca = {
        "s": run.pca.singular_values[::-1],
        "v": (run.pca.components * run.pca.signs)[:, ::-1],
        "mean": run.pca.mean[None, :],
    }
    scaler = json.dumps(
        {
            "features": list(run.scaling.features),
            "minimum": run.scaling.minimum.tolist(),
            "maximum": run.scaling.maximum.tolist(),
            "rows": {"read": len(run.table), "dropped": 0, "kept": len(run.table)},
            "dropped_regions": [],
            "constant_features": [],
            "source": {"id_column": str(run.table.columns[0])},
        }
    ).encode()
    segments = [
        SegmentEntry(number=each["label"], name=each["name"], size=each["size"]) for each in run.document["segments"]
    ]
    document = json.dumps(run.document).encode()
    return Stored(
        entry=HistoryEntry(
            run_id=run_id, vintage=vintage, input="s3://in/a.csv", rows=len(run.table), models={}, segments=segments
        ),
        model=ModelFiles(
            segments=document,
            scaler=scaler,
            pca_artifact=artifact(save({key: np.ascontiguousarray(value, np.float32) for key, value in pca.items()})),
            kmeans_artifact=artifact(save([run.centroids.astype(np.float32)])),
        ),
        results=PreviousRun(
            labeled_counties=header(KEPT) + b"".join(fill_in_names(rows, names)), segments=document, scaler=scaler
        ),
    )


def compare(previous: Stored, run: Run, *, vintage: int | None = None) -> Comparison:
    """Align a run with the previous one, label its rows by the previous model too, and compare the two."""
    model = SegmentModel(run.scaling, run.pca, run.centroids)
    aligned = align(
        Predecessor(previous.entry, previous.model), model, series="s", vintage=vintage, next_number=CLUSTERS
    )
    listed = run.statistics.listed
    assert listed is not None
    before, numbers = aligned.previous_model, aligned.alignment.previous_numbers
    if before is not None and numbers is not None:
        seen = before.label(before.rescale(run.scaled, run.scaling)).labels
        listed = replace(listed, previous_labels=np.array(numbers)[seen])
    segments = [
        {**segment, "label": aligned.alignment.numbers[segment["centroid"]]} for segment in run.document["segments"]
    ]
    current = CurrentRun(
        document={**run.document, "run_id": "now", "segments": segments},  # type: ignore[typeddict-item]
        statistics=replace(run.statistics, listed=listed),
        scaling=run.scaling,
        has_ids=True,
    )
    return Comparison(
        compare_runs(aligned.alignment, previous.results, current),
        list(aligned.alignment.numbers),
    )


def compare_tables(before: Run, now: Run, *, vintages: tuple[int | None, int | None] = (None, None)) -> Comparison:
    return compare(previous_run(before, vintage=vintages[0]), now, vintage=vintages[1])


def later_vintage(table: pd.DataFrame, labels: pd.Series, *, moved: int = 60) -> tuple[pd.DataFrame, list[str]]:
    """Derive the vintage that would follow: other names, padded ids, known drift, and known moves.

    Parameters
    ----------
    table
        Complete rows with the 2015 file's columns.
    labels
        Each row's segment in the run of `table`.

    Returns
    -------
    tuple
        The new table, and the ids of the counties that were moved to another segment: each took the values of a
        county in another segment, but for its size.
    """
    random = np.random.default_rng(2)
    later = table.copy()
    later["CensusId"] = later["CensusId"].astype(str).str.zfill(5)
    later["County"] += " County"
    features = list(later.columns[3:])
    later[features] = later[features].astype(float)
    shares = later.columns[(later[features].max() <= 100).reindex(later.columns, fill_value=False)]
    noise = random.normal(0, 0.01, (len(later), len(shares)))
    later[shares] = (later[shares] * (1 + noise)).clip(0, 100)
    later["Income"] *= 1.04
    later["IncomePerCap"] *= 1.04
    candidates = later.index[later["State"] != "Connecticut"]
    chosen = random.choice(candidates, moved, replace=False)
    for row in chosen:
        donors = candidates[(labels[candidates] != labels[row]).to_numpy()]
        later.loc[row, features] = table.loc[random.choice(np.setdiff1d(donors, chosen)), features].astype(float)
    ids = later.loc[chosen, "CensusId"].tolist()
    gone = np.setdiff1d(candidates, chosen)[:5]
    new = later.loc[np.setdiff1d(candidates, chosen)[5:8]].copy()
    new["CensusId"], new["County"] = ["01998", "01997", "01996"], ["New One", "New Two", "New Three"]
    later = with_planning_regions(pd.concat([later.drop(index=list(gone)), new], ignore_index=True))
    renamed = {"CensusId": "CountyId", "Citizen": "VotingAgeCitizen", "IncomePerCap": "income_per_capita"}
    return later.rename(columns=renamed), ids
