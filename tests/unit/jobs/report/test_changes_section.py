"""The report's section on what changed since the run before in the series."""

import html
import json
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from jobs.report import counties, render
from jobs.report.change_charts import SHOWN_RUNS, change_specifications, run_names, spread
from jobs.report.movers import KINDS, movers_map
from jobs.series.changes import Changes, not_compared
from jobs.series.history import HistoryEntry
from tests.census_run import regions_of, report_of
from tests.reference import needs_census, needs_census_2017
from tests.unit.jobs.report.changed_report import changed_report, changes_of_2017, entries_of
from tests.unit.jobs.series.series_runs import later_vintage
from tests.unit.jobs.series.test_comparison import moved_on_purpose, run_2015, run_2017

pytestmark = [needs_census, needs_census_2017]


@pytest.fixture(scope="module")
def changes() -> Changes:
    return changes_of_2017()


@pytest.fixture(scope="module")
def page() -> str:
    return render(changed_report())


def element(page: str, name: str) -> Any:
    """Return the JSON in one of the page's script elements."""
    return json.loads(page.partition(f'<script type="application/json" id="{name}">')[2].partition("</script>")[0])


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


class TestTheMapOfMovers:
    def test_every_mover_is_on_the_map_with_its_segments(self, page: str, changes: Changes) -> None:
        data = element(page, "data")
        movers, ids = data["movers"], data["rows"]["id"]
        shown = dict(zip(movers["row"], zip(movers["before"], movers["now"], strict=True), strict=True))
        assert {ids[row]: moved for row, moved in shown.items() if moved != (None, None)} == {
            mover.id: (mover.before, mover.now) for mover in changes.movers
        }

    def test_the_kinds_of_moves_are_counted(self, page: str, changes: Changes) -> None:
        clear = sum(mover.clear for mover in changes.movers)
        by_model = sum(mover.cause == "model" for mover in changes.movers)
        words = " ".join(section(page).split())
        counts = (clear, len(changes.movers) - clear - by_model, by_model)
        for kind, count in zip(KINDS, counts, strict=False):
            assert f'<b>{kind.name}</b> <span class="hint">({kind.meaning})</span>: {count}<' in words
        assert KINDS[3].name not in words

    def test_regions_that_were_not_compared_are_a_kind_of_their_own(self) -> None:
        changes, rows = moved_on_purpose()[0].changes, run_2017().statistics.listed
        assert rows is not None
        later, _ = later_vintage(run_2015().table, pd.Series(run_2015().labels))
        listed = replace(rows, regions=regions_of(*(later.iloc[:, place].tolist() for place in range(3))))
        movers = movers_map(changes, listed, counties.join(listed.ids, listed.names).rows)
        assert movers is not None
        kinds = zip(movers.data["row"], movers.data["kind"], strict=True)
        apart = {listed.names[row] for row, kind in kinds if kind == 4}
        assert apart == set(changes.regions["not_comparable_current"])
        assert len(apart) == 9

    def test_without_the_previous_models_view_no_cause_is_claimed(self, changes: Changes) -> None:
        listed = run_2017().statistics.listed
        assert listed is not None
        unknown = replace(changes, movers=tuple(replace(mover, cause=None, clear=False) for mover in changes.movers))
        movers = movers_map(unknown, listed, counties.join(listed.ids, listed.names).rows)
        assert movers is not None
        assert [kind for kind, _, _ in movers.legend] == [3, 4]

    def test_there_is_none_without_a_county_map_or_a_comparison(self, changes: Changes) -> None:
        listed = run_2017().statistics.listed
        assert movers_map(changes, listed, {}) is None
        assert movers_map(changes, None, {}) is None
        assert movers_map(not_compared("now", None, "first"), listed, {"01001": 0}) is None


class TestTheChartOfSizes:
    def test_every_segment_has_its_size_in_every_run(self, page: str, changes: Changes) -> None:
        chart = element(page, "charts")["series"]
        (points,) = [rows for rows in chart["datasets"].values() if "size" in rows[0]]
        assert {(point["run"], point["number"], point["size"]) for point in points} == {
            *(("2015", segment.number, segment.previous_size) for segment in changes.segments),
            *(("2017", segment.number, segment.size) for segment in changes.segments),
        }

    def test_the_first_run_of_a_series_has_none(self, changes: Changes) -> None:
        assert "series" not in change_specifications(entries_of(changes)[:1], with_movers=False)

    def test_a_long_series_shows_its_last_runs(self, changes: Changes) -> None:
        runs = [HistoryEntry({**entries_of(changes)[0], "vintage": 1980 + year}) for year in range(40)]
        chart = change_specifications(runs, with_movers=False)["series"]
        (points,) = [rows for rows in chart["datasets"].values() if "size" in rows[0]]
        assert {point["run"] for point in points} == {str(year) for year in range(2020 - SHOWN_RUNS, 2020)}
        page = render(replace(report_of(run_2017()), changes=changes, runs=runs))
        assert f"Sizes over the last {SHOWN_RUNS} runs" in section(page)

    def test_runs_are_told_apart(self, changes: Changes) -> None:
        years = [2015, 2017, 2017, None]
        runs = [HistoryEntry({**entries_of(changes)[0], "vintage": year}) for year in years]
        assert run_names(runs) == ["2015", "2017", "2017 (2)", "run 4"]

    def test_numbers_at_the_ends_of_lines_do_not_overlap(self) -> None:
        assert spread([387, 386, 381, 46, 0], gap=50) == [481, 431, 381, 50, 0]

    def test_both_charts_are_valid_vega_lite(self, changes: Changes) -> None:
        assert set(change_specifications(entries_of(changes), with_movers=True, validate=True)) == {"movers", "series"}
