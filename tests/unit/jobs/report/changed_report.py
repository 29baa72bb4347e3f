"""The report of the real file of 2017 after that of 2015, as the second run of a series."""

from functools import cache

from jobs.report import RunReport
from jobs.series.changes import Changes
from jobs.series.history import HistoryEntry, SegmentEntry
from tests.census_run import MANIFEST
from tests.unit.jobs.series.series_runs import compare_tables
from tests.unit.jobs.series.test_comparison import run_2015, run_2017


@cache
def changes_of_2017() -> Changes:
    """Compare the two files."""
    return compare_tables(run_2015(), run_2017(), vintages=(2015, 2017)).changes


def entries_of(changes: Changes) -> list[HistoryEntry]:
    """Return the history of two runs that were compared, with the sizes that the comparison found."""
    sizes = [{each.number: (each.previous_size, each.size)[now] for each in changes.segments} for now in (False, True)]
    return [
        HistoryEntry(
            run_id=str(run_id),
            vintage=vintage,
            input="s3://in/census.csv",
            rows=sum(size.values()),
            models={},
            segments=[
                SegmentEntry(number=each.number, name=each.name, size=size[each.number])
                for each in changes.segments
                if size[each.number]
            ],
        )
        for run_id, vintage, size in (
            (changes.previous_run_id, changes.previous_vintage, sizes[0]),
            (changes.run_id, changes.vintage, sizes[1]),
        )
    ]


@cache
def changed_report() -> RunReport:
    """Give what the report of the second run is made of."""
    run, changes = run_2017(), changes_of_2017()
    return RunReport(run.document, run.statistics, run.scaling, MANIFEST, 0.8, changes, entries_of(changes))
