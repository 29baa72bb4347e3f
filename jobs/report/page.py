"""Puts the report's page together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobs.segments import SegmentsDocument
from jobs.statistics import Scaling, SegmentStatistics


@dataclass(frozen=True)
class RunReport:
    """What a report is made of.

    Attributes
    ----------
    document
        The segments, as `jobs.segments.describe` gave them.
    statistics, scaling
        Of the whole run: histograms, and the rows for map and table.
    manifest
        manifest.json as a dict: shown as provenance, whatever its keys.
    variance_to_keep
        (0..1), the share of variance that decided how many components were kept.
    """

    document: SegmentsDocument
    statistics: SegmentStatistics
    scaling: Scaling
    manifest: Mapping[str, Any]
    variance_to_keep: float
