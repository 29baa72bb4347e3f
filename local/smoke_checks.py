"""Compares the results of a run in an account with those of the same run in a rehearsal."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

from jobs.segments.alignment import align, contingency
from local.evidence import Document, payload_shapes, shape
from local.follow import Snapshot
from local.preflight import Row
from local.results import CHANGES, MANIFEST, SEGMENTS, RunFiles

COMPONENT_TOLERANCE: Final = 1e-4
BORDER_MARGIN: Final = 0.01
"""A row whose margin is smaller lies on the border of two segments: a component's tolerance can change its label."""
_SHOWN: Final = 3


@dataclass(frozen=True)
class Observed:
    """A run of the sample census in a copy of the stack.

    Attributes
    ----------
    snapshot
        The execution at its end.
    files
        The copied result files.
    written
        All files of the run, relative to its folder in the results bucket; ``<run>`` stands for the run's id in them.
    leftovers
        What the run left in SageMaker.
    evidence
        As :class:`local.evidence.Evidence` describes it.
    """

    run_id: str
    snapshot: Snapshot
    files: RunFiles
    written: frozenset[str]
    leftovers: list[str]
    evidence: Document


def check(seen: Observed, rehearsed: Observed) -> Iterator[Row]:
    """Yield a row per check of a run, in the order of the table.

    Parameters
    ----------
    seen
        The run in the account.
    rehearsed
        The run of the same census in an embedded AWS, which succeeded.
    """
    yield _run(seen)
    if seen.snapshot.status == "SUCCEEDED":
        yield from _labels(_Labeled.read(seen.files), _Labeled.read(rehearsed.files))
        yield _same("files", seen.written, rehearsed.written)
        yield _same("contracts", _contracts(seen), _contracts(rehearsed))
    yield _alarms(seen.evidence["alarms"])
    yield _none("SageMaker", seen.leftovers, "nothing was left", "the clean-up deleted it; find out what created it")


def costs(seen: Observed) -> list[str]:
    """Return what a run used and is billed for, a line each; a run that failed has no manifest to say so.

    Hosting is counted from the launch, because AWS bills an instance before its endpoint is in service.
    """
    if seen.snapshot.status != "SUCCEEDED":
        return []
    manifest = seen.files.manifest
    lines = [
        f"training, {job['instance_type']}: {job['billable_seconds']} s = {job['billable_seconds'] / 3600:.4f} x the"
        " price of its hour"
        for job in manifest["training_jobs"]
    ]
    launched = {step["name"]: step["start"] for step in manifest["steps"]}
    for endpoint, state in zip(manifest["endpoints"], ("LaunchPcaEndpoint", "LaunchKMeansEndpoint"), strict=False):
        seconds = _seconds(launched[state], endpoint["torn_down"]) * endpoint["instance_count"]
        lines.append(
            f"hosting, {endpoint['instance_type']}: {seconds:.0f} s = {seconds / 3600:.4f} x the price of its hour"
        )
    transitions = sum(event["type"].endswith("StateEntered") for event in seen.evidence["events"])
    return [*lines, f"Step Functions: {transitions} state transitions", "prices: see docs/cost.md"]


@dataclass(frozen=True)
class _Labeled:
    """The rows of labeled_counties.csv: ids, components (n, kept), labels (n,) and margins (n,)."""

    ids: list[str]
    components: np.ndarray
    labels: np.ndarray
    margins: np.ndarray

    @classmethod
    def read(cls, files: RunFiles) -> "_Labeled":
        rows = list(csv.DictReader(io.StringIO(files.labeled())))
        kept = [name for name in rows[0] if name.startswith("c_")]
        return cls(
            [row["CensusId"] for row in rows],
            np.array([[float(row[name]) for name in kept] for row in rows]),
            np.array([int(row["label"]) for row in rows]),
            np.array([float(row["margin"]) for row in rows]),
        )


def _run(seen: Observed) -> Row:
    snapshot = seen.snapshot
    if snapshot.status == "SUCCEEDED":
        return Row("run", "ok", f"{seen.run_id} succeeded in {snapshot.seconds:.0f} s")
    failure = seen.files.failure
    error, cause = (failure["error"], failure["cause"]) if failure else (snapshot.error, snapshot.cause)
    return Row("run", "failed", f"{snapshot.status}: {error}: {cause}", "see docs/operations.md, What each failure")


def _labels(ours: _Labeled, theirs: _Labeled) -> Iterator[Row]:
    """Compare the components of each row, and its label after the labels of both runs are aligned."""
    if ours.ids != theirs.ids or ours.components.shape != theirs.components.shape:
        finding = f"{ours.components.shape} rows and components, in the rehearsal {theirs.components.shape}"
        yield Row("components", "failed", finding, "compare labeled_counties.csv of both")
        return
    deviation = float(np.abs(ours.components - theirs.components).max())
    fits = deviation <= COMPONENT_TOLERANCE
    finding = f"differ by at most {deviation:.1e}; {COMPONENT_TOLERANCE:.0e} is allowed"
    yield Row("components", "ok" if fits else "failed", finding, "" if fits else "compare PCA with docs/fidelity.md")
    clusters = int(max(ours.labels.max(), theirs.labels.max())) + 1
    matched = align(contingency(ours.labels, theirs.labels, clusters))
    differs = matched[ours.labels] != theirs.labels
    inside = int((differs & (ours.margins > BORDER_MARGIN)).sum())
    finding = f"{int((~differs).sum()):,} of {len(differs):,} rows agree, {inside:,} others are not on a border"
    yield Row(
        "labels", "failed" if inside else "ok", finding, "compare k-means with docs/fidelity.md" if inside else ""
    )


def _alarms(alarms: Sequence[Mapping[str, Any]]) -> Row:
    if not alarms:
        return Row("alarms", "failed", "none is listed", "see `not_collected` in the evidence")
    raised = [alarm["AlarmName"] for alarm in alarms if alarm["StateValue"] == "ALARM"]
    return _none("alarms", raised, f"all {len(alarms)} are quiet", "see docs/operations.md, Alarms")


def _contracts(observed: Observed) -> set[str]:
    """Return the fields and types of the documents for programs, and of what the functions return."""
    files = observed.files
    documents: Mapping[str, Any] = {SEGMENTS: files.segments, MANIFEST: files.manifest, CHANGES: files.changes}
    found = {f"{name}: {path}" for name, document in documents.items() for path in shape(document)}
    return found | payload_shapes(observed.evidence)


def _same(subject: str, ours: set[str] | frozenset[str], theirs: set[str] | frozenset[str]) -> Row:
    missing, added = sorted(theirs - ours), sorted(ours - theirs)
    if not missing and not added:
        return Row(subject, "ok", f"all {len(ours)} as in the rehearsal")
    parts = [
        f"{len(names)} {word}: {', '.join(names[:_SHOWN])}"
        for names, word in ((missing, "missing"), (added, "more"))
        if names
    ]
    return Row(subject, "failed", "; ".join(parts), "compare the evidence with the rehearsal")


def _none(subject: str, found: list[str], fine: str, remedy: str) -> Row:
    return Row(subject, "failed", ", ".join(found), remedy) if found else Row(subject, "ok", fine)


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
