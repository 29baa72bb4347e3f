"""The report in a real browser, opened from disk: it draws, filters and searches, and asks for nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page

from jobs.report import render
from jobs.segments.certainty import classify
from local import synthetic_census as sample
from tests.browser.chromium import browser, executable
from tests.browser.sample_report import sample_report
from tests.census_run import Run, report_of, segment_table
from tests.reference import needs_census, needs_census_2017
from tests.unit.jobs.report.changed_report import changed_report
from tests.unit.jobs.report.test_report import EVIL, tracts
from tests.vintages import with_regions_of_2023

pytestmark = pytest.mark.skipif(
    executable() is None, reason="there is no Chromium; `make setup` installs one, or set CHROMIUM=path"
)

Scheme = Literal["light", "dark"]

READY = "html[data-ready=yes]"
COUNTIES = ".map path[aria-roledescription=geoshape]"


@dataclass
class Watched:
    """An open page, and what it said and asked for."""

    page: Page
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, chromium: Browser, path: Path, *, width: int = 1280, scheme: Scheme = "light") -> "Watched":
        page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        watched = cls(page)
        page.on("console", lambda message: watched.messages.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: watched.messages.append(str(error)))
        page.on("request", lambda request: watched.requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector(READY, timeout=60_000)
        return watched

    def close(self) -> None:
        """Close the page; it must not have said anything on the console, at its opening or since."""
        self.page.close()
        assert self.messages == []


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_report(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def opened(chromium: Browser, path: Path) -> Iterator[Watched]:
    watched = Watched.open(chromium, path)
    yield watched
    watched.close()


@pytest.fixture
def page(opened: Watched) -> Iterator[Page]:
    yield opened.page
    opened.page.click("#show-all")
    opened.page.check("#coloring input[value=segment]")
    opened.page.fill("#search", "")


class TestOpening:
    def test_nothing_is_said_on_the_console(self, opened: Watched) -> None:
        assert opened.messages == []

    def test_nothing_but_the_file_itself_is_asked_for(self, opened: Watched, path: Path) -> None:
        assert opened.requests == [path.as_uri()]

    def test_the_map_has_a_path_for_every_county(self, page: Page) -> None:
        names = page.locator(COUNTIES).evaluate_all("paths => paths.map(path => path.getAttribute('aria-label'))")
        assert len(names) == 3220
        assert len([name for name in names if name.endswith(", Puerto Rico")]) == 78
        assert len([name for name in names if "not in the data" in name]) == 2  # the two incomplete rows

    def test_every_path_has_an_outline(self, page: Page) -> None:
        outlines = page.locator(COUNTIES).evaluate_all("paths => paths.map(path => path.getAttribute('d') || '')")
        assert min(map(len, outlines)) > 10

    def test_every_chart_is_drawn(self, page: Page) -> None:
        charts = page.locator(".chart").evaluate_all("all => all.map(one => one.querySelectorAll('svg path').length)")
        assert len(charts) == 1 + 5 + 2 + 7 + 6
        assert min(charts) > 5

    @pytest.mark.parametrize("width", [390, 768])
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_nothing_overflows_a_narrow_screen(self, chromium: Browser, path: Path, width: int, scheme: Scheme) -> None:
        narrow = Watched.open(chromium, path, width=width, scheme=scheme)
        assert narrow.page.evaluate("document.documentElement.scrollWidth") == width
        narrow.close()


class TestTheme:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_text_stands_out_from_its_ground(self, chromium: Browser, path: Path, scheme: Scheme) -> None:
        watched = Watched.open(chromium, path, scheme=scheme)
        ground = luminance(colour(watched.page, "body", "backgroundColor"))
        for part, style in (("body", "color"), (".hint", "color"), ("nav a", "color"), (".chart svg text", "fill")):
            text = luminance(colour(watched.page, part, style))
            assert contrast(text, ground) >= 4.5, part
        watched.close()


class TestBoundaries:
    def test_a_file_of_2023_has_a_path_for_every_region(self, chromium: Browser, tmp_path: Path) -> None:
        complete = pd.DataFrame(sample.draw().table).ffill()
        run = segment_table(with_regions_of_2023(complete), kept=7)
        path = tmp_path / "report-2023.html"
        path.write_text(render(report_of(run)), encoding="utf-8")
        watched = Watched.open(chromium, path)
        names = watched.page.locator(COUNTIES).evaluate_all(
            "paths => paths.filter(path => path.getAttribute('d')).map(path => path.getAttribute('aria-label'))"
        )
        assert [name for name in names if "not in the data" in name] == []
        assert len(names) == len(run.table) == 3222
        assert len([name for name in names if name.endswith(", Connecticut")]) == 9
        assert {"Chugach Census Area, Alaska", "Copper River Census Area, Alaska"} <= set(names)
        assert "boundaries are those of 2023" in watched.page.inner_text(".map figcaption")
        watched.close()

    def test_states_without_rows_are_gray_outlines(self, chromium: Browser, tmp_path: Path) -> None:
        table = pd.DataFrame(sample.draw().table)
        path = tmp_path / "two-states.html"
        path.write_text(
            render(report_of(segment_table(table[table["State"].isin(["Texas", "Iowa"])], kept=7))), "utf-8"
        )
        watched = Watched.open(chromium, path)
        assert watched.page.locator(COUNTIES).count() == 254 + 99
        assert watched.page.locator(".map [aria-hidden=true] path[fill='var(--quiet)']").count() == 50
        watched.close()


class TestTooltips:
    def test_pointing_at_a_county_tells_its_name_and_segment(self, page: Page) -> None:
        county = page.locator(".map path[aria-label='San Bernardino, California']")
        county.scroll_into_view_if_needed()
        box = county.bounding_box()
        assert box is not None
        for step in (0.45, 0.5):
            page.mouse.move(box["x"] + step * box["width"], box["y"] + step * box["height"])
        tooltip = page.locator("#vg-tooltip-element.visible")
        tooltip.wait_for()
        assert "San Bernardino, California" in tooltip.inner_text()
        assert "100 %: certain" in tooltip.inner_text()
        page.mouse.move(0, 0)


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("changed") / "report.html"
    path.write_text(render(changed_report()), encoding="utf-8")
    return path


FILLS = "paths => paths.map(path => getComputedStyle(path).fill)"
MOVERS = "[data-chart=movers] path[aria-roledescription=geoshape]"


@needs_census
@needs_census_2017
class TestChanges:
    @pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
    def test_the_movers_are_drawn_by_what_changed(
        self, chromium: Browser, changed: Path, width: int, scheme: Scheme
    ) -> None:
        watched = Watched.open(chromium, changed, width=width, scheme=scheme)
        changes = changed_report().changes
        assert changes is not None
        fills = watched.page.locator(MOVERS).evaluate_all(FILLS)
        clear = sum(mover.clear for mover in changes.movers)
        by_model = sum(mover.cause == "model" for mover in changes.movers)
        counts = [fills.count(f'url("#mover-{kind}")') for kind in range(3)]
        assert counts == [clear, changes.movers_count - clear - by_model, by_model]
        assert watched.page.evaluate("document.documentElement.scrollWidth") == width
        watched.close()

    def test_pointing_at_a_mover_tells_its_segments(self, chromium: Browser, changed: Path) -> None:
        watched = Watched.open(chromium, changed)
        county = watched.page.locator("[data-chart=movers] path[aria-label='Oldham County, Texas']")
        county.scroll_into_view_if_needed()
        box = county.bounding_box()
        assert box is not None
        for step in (0.45, 0.5):
            watched.page.mouse.move(box["x"] + step * box["width"], box["y"] + step * box["height"])
        tooltip = watched.page.locator("#vg-tooltip-element.visible")
        tooltip.wait_for()
        assert "Clearly moved" in tooltip.inner_text()
        assert "High White share, high private-work share" in tooltip.inner_text()
        watched.close()

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_the_kinds_of_moves_differ_without_color(self, chromium: Browser, changed: Path, scheme: Scheme) -> None:
        watched = Watched.open(chromium, changed, scheme=scheme)
        rects = [f"pattern.mover-{kind} rect" for kind in (0, 1, 2)]
        light = [luminance(colour(watched.page, rect, "fill")) for rect in rects]
        gray = luminance(colour(watched.page, "[data-chart=movers] [aria-hidden=true] path", "fill"))
        steps = [*light, gray]
        assert steps == sorted(steps, reverse=scheme == "dark")
        assert min(contrast(one, next_one) for one, next_one in pairwise(steps)) >= 1.4
        hatched = [
            watched.page.locator(f"pattern.mover-{kind} line").evaluate("line => getComputedStyle(line).stroke")
            for kind in range(5)
        ]
        assert [stroke != "none" for stroke in hatched] == [False, True, False, True, True]
        watched.close()

    def test_every_line_of_the_chart_of_sizes_has_a_number_at_its_end(self, chromium: Browser, changed: Path) -> None:
        watched = Watched.open(chromium, changed)
        assert watched.page.locator("[data-chart=series] .mark-line path").count() == 8
        words = watched.page.locator("[data-chart=series] .mark-text.role-mark text")
        assert sorted(words.all_text_contents()) == list("01234567")
        tops = sorted(box["y"] for each in words.all() if (box := each.bounding_box()))
        assert min(after - before for before, after in pairwise(tops)) > 12
        watched.close()


UNCERTAIN = 'url("#certainty-3")'


@pytest.fixture(scope="module")
def uncertain(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, Page]]:
    """Give a run with more segments than its counties have groups, so that many counties are uncertain."""
    run = segment_table(pd.DataFrame(sample.draw().table).head(800), kept=4, clusters=7)
    path = tmp_path_factory.mktemp("uncertain") / "report.html"
    path.write_text(render(report_of(run)), encoding="utf-8")
    watched = Watched.open(chromium, path)
    yield run, watched.page
    watched.close()


class TestCertainty:
    def test_the_switch_colors_the_map_by_certainty_and_back(self, uncertain: tuple[Run, Page]) -> None:
        run, page = uncertain
        assert run.statistics.listed is not None
        rows = np.bincount(classify(run.statistics.listed.stabilities), minlength=4).tolist()
        assert rows[3] > 10
        segments = page.locator(COUNTIES).evaluate_all(FILLS)
        page.check("#coloring input[value=certainty]")
        page.wait_for_function(f"""[...document.querySelectorAll("{COUNTIES}")].some(
            path => getComputedStyle(path).fill === '{UNCERTAIN}')""")
        fills = page.locator(COUNTIES).evaluate_all(FILLS)
        assert [fills.count(f'url("#certainty-{i}")') for i in range(4)] == rows
        page.check("#coloring input[value=segment]")
        page.wait_for_function(f"""![...document.querySelectorAll("{COUNTIES}")].some(
            path => getComputedStyle(path).fill === '{UNCERTAIN}')""")
        assert page.locator(COUNTIES).evaluate_all(FILLS) == segments

    def test_a_legend_counts_the_counties_of_each_class(self, uncertain: tuple[Run, Page]) -> None:
        run, page = uncertain
        assert run.statistics.listed is not None
        assert not page.locator(".scale").is_visible()
        page.check("#coloring input[value=certainty]")
        lines = page.locator(".scale li").all_inner_texts()
        rows = np.bincount(classify(run.statistics.listed.stabilities), minlength=4).tolist()
        assert [line.rsplit(": ", 1)[1] for line in lines] == [f"{count:,} counties" for count in rows]
        assert lines[3].startswith("Between two segments (less than 70 %)")
        page.check("#coloring input[value=segment]")
        assert not page.locator(".scale").is_visible()

    def test_a_hidden_segment_is_gray_in_this_coloring_too(self, uncertain: tuple[Run, Page]) -> None:
        _, page = uncertain
        page.check("#coloring input[value=certainty]")
        page.click("#show-none")
        page.wait_for_function(f"""new Set([...document.querySelectorAll("{COUNTIES}")].map(
            path => getComputedStyle(path).fill)).size === 1""")
        page.click("#show-all")
        page.check("#coloring input[value=segment]")

    def test_the_arrow_keys_switch(self, uncertain: tuple[Run, Page]) -> None:
        _, page = uncertain
        page.focus("#coloring input[value=segment]")
        page.keyboard.press("ArrowRight")
        assert page.is_checked("#coloring input[value=certainty]")
        page.keyboard.press("ArrowLeft")
        assert page.is_checked("#coloring input[value=segment]")

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_the_classes_differ_without_color(self, chromium: Browser, path: Path, scheme: Scheme) -> None:
        watched = Watched.open(chromium, path, scheme=scheme)
        rects = [f"pattern.certainty-{i} rect" for i in range(4)]
        light = [luminance(colour(watched.page, rect, "fill")) for rect in rects]
        assert light == sorted(light, reverse=scheme == "light")
        assert min(contrast(one, next_one) for one, next_one in pairwise(light)) >= 1.4
        hatched = [
            watched.page.locator(f"pattern.certainty-{i} line").evaluate("line => getComputedStyle(line).stroke")
            for i in range(4)
        ]
        assert [stroke != "none" for stroke in hatched] == [False, False, True, True]
        watched.close()

    def test_every_pair_of_segments_with_uncertain_counties_is_listed(self, uncertain: tuple[Run, Page]) -> None:
        run, page = uncertain
        borders = run.document["kmeans"]["stability"]["borders"]
        assert len(borders) > 3
        lines = page.locator(".borders tbody tr").evaluate_all(
            "rows => rows.map(row => [...row.cells].map(cell => cell.textContent).join(' '))"
        )
        assert len(lines) == len(borders)
        for line, border in zip(lines, borders, strict=True):
            one, other = border["segments"]
            words = " ".join(line.split())
            assert words.startswith(f"{one} and {other} {border['unstable_rows']} {border['nearest'][0]}")

    def test_the_table_sorts_by_stability(self, uncertain: tuple[Run, Page]) -> None:
        run, page = uncertain
        assert run.statistics.listed is not None
        page.locator("#rows thead button", has_text="Stability").click()
        stability = page.locator("#rows tbody td:nth-child(8)").first.inner_text()
        assert float(stability) == pytest.approx(run.statistics.listed.stabilities.min(), abs=1e-3)


class TestFiltering:
    def test_a_hidden_segment_turns_grey_and_leaves_the_table(self, page: Page) -> None:
        fill = "paths => new Set(paths.map(path => getComputedStyle(path).fill)).size"
        before = page.locator(COUNTIES).evaluate_all(fill)
        page.uncheck("#legend input[value='3']")
        page.wait_for_function(f"count => ({fill})([...document.querySelectorAll('{COUNTIES}')]) < count", arg=before)
        assert page.locator("#segment-3").evaluate("card => card.classList.contains('hidden-segment')")
        size = int(page.locator("#segment-3 .size b").first.inner_text())
        assert page.inner_text("#found") == f"{3218 - size:,} of 3,218"

    def test_only_one_segment_can_be_shown(self, page: Page) -> None:
        page.click("#segment-5 .only")
        checked = page.locator("#legend input:checked").evaluate_all("boxes => boxes.map(box => box.value)")
        assert checked == ["5"]
        labels = page.locator("#rows tbody td:nth-child(4)").all_inner_texts()
        assert {label.strip()[0] for label in labels} == {"5"}

    def test_histograms_follow(self, page: Page) -> None:
        bars = "document.querySelectorAll('#histograms figure:first-child path[aria-roledescription=bar]').length"
        all_bars = page.evaluate(bars)
        page.click("#segment-5 .only")
        page.wait_for_function(f"{bars} < {all_bars}")
        page.click("#show-none")
        page.wait_for_function(f"{bars} === 0")

    def test_the_keyboard_is_enough(self, page: Page) -> None:
        page.focus("#legend input[value='0']")
        page.keyboard.press("Space")
        assert not page.is_checked("#legend input[value='0']")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.value") == "1"


class TestHistograms:
    def test_columns_that_add_up_are_offered_together(self, page: Page) -> None:
        page.select_option("#histogram-group", label="Drive, Carpool, Transit, Walk, Other transport, Work at home")
        page.wait_for_function("document.querySelectorAll('#histograms svg').length === 6")
        titles = page.locator("#histograms h4").all_inner_texts()
        assert titles[:3] == ["Drive (%)", "Carpool (%)", "Transit (%)"]


class TestTable:
    @pytest.mark.parametrize(
        ("search", "first"),
        [("autauga", "Autauga"), ("alabama-autauga", "Autauga"), ("1001", "Autauga"), ("anasco puerto", "Añasco")],
    )
    def test_a_county_is_found_by_name_or_id(self, page: Page, search: str, first: str) -> None:
        page.fill("#search", search)
        assert page.locator("#rows tbody tr").first.locator("td").nth(2).inner_text() == first

    def test_what_is_not_there_is_not_found(self, page: Page) -> None:
        page.fill("#search", "atlantis")
        assert page.inner_text("#found") == "0 of 3,218"
        assert page.is_disabled("#next")

    def test_pages_turn(self, page: Page) -> None:
        first = page.locator("#rows tbody td").first.inner_text()
        page.click("#next")
        assert page.inner_text("#page") == "Page 2 of 129"
        assert page.locator("#rows tbody td").first.inner_text() != first
        page.click("#previous")
        assert page.locator("#rows tbody td").first.inner_text() == first

    def test_a_column_sorts_up_and_down(self, page: Page) -> None:
        distance = page.locator("#rows thead button", has_text="Distance")
        shown = "cells => cells.map(cell => Number(cell.textContent))"
        for direction, ordered in (("ascending", sorted), ("descending", lambda v: sorted(v, reverse=True))):
            distance.click()
            values = page.locator("#rows tbody td:nth-child(5)").evaluate_all(shown)
            assert values == ordered(values)
            assert page.locator("th[aria-sort]").get_attribute("aria-sort") == direction


class TestAccessibility:
    def test_every_control_has_a_name(self, page: Page) -> None:
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('button, input, select, a')].filter(control =>
                !(control.textContent.trim() || control.getAttribute('aria-label') || control.labels?.length))
                .map(control => control.outerHTML)"""
        )
        assert nameless == []

    def test_every_chart_has_a_description(self, page: Page) -> None:
        described = page.locator(".chart[role=graphics-document][aria-label]")
        assert described.count() == page.locator(".chart svg").count()

    def test_headings_skip_no_level(self, page: Page) -> None:
        levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(one => Number(one.tagName[1]))")
        assert levels[0] == 1
        assert max(after - before for before, after in pairwise(levels)) == 1


class TestOtherInputs:
    def test_a_hostile_csv_runs_nothing(self, chromium: Browser, tmp_path: Path) -> None:
        path = tmp_path / "evil.html"
        path.write_text(render(report_of(tracts(60, county=EVIL + "{}"))), encoding="utf-8")
        watched = Watched.open(chromium, path)
        assert watched.messages == []
        assert watched.requests == [path.as_uri()]
        assert watched.page.locator("#rows tbody td").nth(2).inner_text().startswith("</script><script>alert(1)")
        watched.close()

    @pytest.mark.parametrize("width", [390, 1280])
    def test_a_name_of_10000_characters_does_not_widen_the_page(
        self, chromium: Browser, tmp_path: Path, width: int
    ) -> None:
        path = tmp_path / "long.html"
        path.write_text(render(report_of(tracts(60, county="x" * 10_000 + "{}", feature="y" * 10_000))), "utf-8")
        watched = Watched.open(chromium, path, width=width)
        assert watched.page.evaluate("document.documentElement.scrollWidth") == width
        cell = watched.page.locator("#rows tbody td").nth(2)
        assert len(cell.inner_text()) == 200
        assert cell.get_attribute("title") == "x" * 10_000 + "0"
        watched.close()

    def test_cells_with_direction_marks_leave_the_text_around_them_alone(
        self, chromium: Browser, tmp_path: Path
    ) -> None:
        path = tmp_path / "bidi.html"
        path.write_text(render(report_of(tracts(60, county="\u202edlrow{}"))), "utf-8")
        watched = Watched.open(chromium, path)
        typical = watched.page.locator(".card bdi")
        assert typical.count() > 0
        assert typical.first.evaluate("one => getComputedStyle(one).unicodeBidi") == "isolate"
        watched.close()

    def test_75000_tracts_open_and_page(self, chromium: Browser, tmp_path: Path) -> None:
        path = tmp_path / "tracts.html"
        path.write_text(render(report_of(tracts(75_000))), encoding="utf-8")
        watched = Watched.open(chromium, path)
        assert watched.messages == []
        watched.page.fill("#search", "01001095099")
        assert watched.page.inner_text("#found") == "1 of 75,000"
        watched.close()


def colour(page: Page, selector: str, style: str) -> list[float]:
    text = page.locator(selector).first.evaluate(f"one => getComputedStyle(one).{style}")
    return [float(part) / 255 for part in text.removeprefix("rgb(").removesuffix(")").split(",")]


def luminance(rgb: list[float]) -> float:
    """Relative luminance by WCAG 2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    """Contrast ratio by WCAG 2."""
    low, high = sorted((one, other))
    return (high + 0.05) / (low + 0.05)
