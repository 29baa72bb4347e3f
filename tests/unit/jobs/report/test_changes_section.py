"""The report's section on what changed since the run before in the series."""

import html
from dataclasses import replace

import pytest

from jobs.report import render
from jobs.series.changes import Changes, not_compared
from tests.census_run import report_of
from tests.reference import needs_census, needs_census_2017
from tests.unit.jobs.series.series_runs import compare_tables
from tests.unit.jobs.series.test_comparison import run_2015, run_2017

pytestmark = [needs_census, needs_census_2017]


@pytest.fixture(scope="module")
def changes() -> Changes:
    return compare_tables(run_2015(), run_2017(), vintages=(2015, 2017)).changes


@pytest.fixture(scope="module")
def page(changes: Changes) -> str:
    return render(replace(report_of(run_2017()), changes=changes))


def section(page: str) -> str:
    return html.unescape(page.partition('<section id="changes"')[2].partition("</section>")[0])


def test_the_verdict_and_the_warning_are_shown(page: str, changes: Changes) -> None:
    assert changes.verdict in section(page)
    assert "share 3 of 5 years" in section(page)
    assert "Citizen is called VotingAgeCitizen" in section(page)


def test_the_most_certain_movers_are_listed_with_the_names_of_their_segments(page: str, changes: Changes) -> None:
    names = {segment.number: segment.name for segment in changes.segments}
    for mover in changes.movers[:20]:
        assert mover.name in section(page)
        assert names[mover.now] in section(page)
    assert changes.movers[20].name not in section(page)


def test_every_segment_is_listed_before_and_now(page: str, changes: Changes) -> None:
    for segment in changes.segments:
        assert f"<td>{segment.status}</td><td>{segment.previous_size:,}</td><td>{segment.size:,}</td>" in section(page)


def test_a_run_that_was_not_compared_says_why() -> None:
    report = replace(report_of(run_2017()), changes=not_compared("now", None, "This is the first run of the series."))
    text = section(render(report))
    assert "This is the first run of the series." in text
    assert "<table>" not in text


def test_the_section_is_left_out_without_a_series() -> None:
    assert section(render(report_of(run_2017()))) == ""
