"""The report's page: what it holds, what it leaves out and why, and that no cell of a CSV becomes markup."""

import json
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jobs.report import RunReport, counties, render
from jobs.report.charts import specifications
from jobs.report.palette import SEGMENTS, colours
from jobs.segments.statistics import MAX_LISTED_ROWS
from local import synthetic_census as sample
from tests.census_run import Run, report_of, segment_table

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u2028"


class Page(HTMLParser):
    """Collects a page's tags, its text, and what stands in each script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[tuple[str | None, str]] = []
        self._script: str | None = None
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self._inside, self._script = True, dict(attrs).get("id")

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts.append((self._script, data))
        else:
            self.text += data

    def json(self, name: str) -> Any:
        return json.loads("".join(text for script, text in self.scripts if script == name))

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


@pytest.fixture(scope="module")
def run() -> Run:
    return segment_table(pd.DataFrame(sample.draw().table), kept=7)


@pytest.fixture(scope="module")
def page(run: Run) -> Page:
    return Page(render(report_of(run)))


def tracts(rows: int, county: str = "Census Tract {}", feature: str = "Share") -> Run:
    rng = np.random.default_rng(3)
    table = pd.DataFrame(
        {
            "TractId": [f"{1_001_020_100 + i:011d}" for i in range(rows)],
            "State": rng.choice(["Alabama", "North Carolina", "West Virginia"], rows),
            "County": [county.format(i) for i in range(rows)],
            **{f"{feature}{i}": rng.uniform(0, 100, rows).round(1) for i in range(12)},
        }
    )
    return segment_table(table, kept=7, shard=30_000)


def values_of(chart: dict[str, Any], field: str) -> list[dict[str, Any]]:
    """Return the rows of the only dataset of a chart that has a field."""
    (values,) = [rows for rows in chart["datasets"].values() if field in rows[0]]
    found: list[dict[str, Any]] = values
    return found


class TestContent:
    def test_sections_come_in_the_order_of_a_readers_questions(self, page: Page) -> None:
        sections = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
        assert sections == ["segments", "reading", "quality", "evidence", "table", "provenance"]

    def test_every_segment_has_a_card_with_its_traits(self, run: Run, page: Page) -> None:
        assert len([1 for tag, attributes in page.tags if tag == "article"]) == len(run.document["segments"])
        for segment in run.document["segments"]:
            assert segment["name"] in page.words
            assert all(trait["text"] in page.words for trait in segment["traits"])
            assert all(name in page.words for name in segment["representatives"][:4])

    def test_every_chart_is_there_with_its_data(self, run: Run, page: Page) -> None:
        drawn = [attributes["data-chart"] for tag, attributes in page.tags if "data-chart" in attributes]
        assert drawn.count("makeup") == 7
        assert set(drawn) | {"histogram"} == set(page.json("charts"))
        data = page.json("data")
        assert len(data["histograms"]) == 34
        assert sum(sum(segment["rows"]) for segment in data["histograms"][0]["segments"]) == 3218
        assert len(data["featureCells"]) == 8 * 34
        assert len(data["componentCells"]) == 8 * 7

    def test_histograms_offer_what_adds_up_to_100_percent(self, page: Page) -> None:
        groups = page.json("data")["histogramGroups"]
        assert ["Drive", "Carpool", "Transit", "Walk", "OtherTransp", "WorkAtHome"] in [g["features"] for g in groups]
        assert len(groups[-1]["features"]) == 34

    def test_every_row_is_listed_with_its_components(self, run: Run, page: Page) -> None:
        rows = page.json("data")["rows"]
        assert len(rows["id"]) == len(rows["label"]) == len(rows["components"][6]) == 3218
        assert rows["label"] == run.labels.tolist()

    def test_dropped_rows_are_named(self, run: Run, page: Page) -> None:
        for region in run.document["dropped_regions"]:
            assert region["name"] in page.words

    def test_the_manifest_is_shown(self, page: Page) -> None:
        for words in (
            "s3://incoming/incoming/census.csv",
            "066d37f4",
            "census-segmentation-census-test-kmeans",
            "815.0",
        ):
            assert words in page.words

    def test_a_manifest_with_unknown_parts_is_shown_too(self, run: Run) -> None:
        manifest = {"note": None, "nested": {"list": [1, 2], "rows": [{"a": 1}, {"b": 2}], "empty": []}}
        words = Page(render(replace(report_of(run), manifest=manifest))).words
        assert "Nested" in words

    def test_the_variance_chart_has_a_bar_per_component_and_marks_those_that_were_kept(
        self, run: Run, page: Page
    ) -> None:
        bars = values_of(page.json("charts")["variance"], "share")
        assert [bar["n"] for bar in bars] == list(range(1, 34))
        assert [bar["share"] for bar in bars] == run.document["pca"]["explained_variance"]
        assert [bar["n"] for bar in bars if bar["kept"]] == [1, 2, 3, 4, 5, 6, 7]

    def test_the_elbow_chart_marks_the_number_of_clusters_that_was_used(self, run: Run, page: Page) -> None:
        points = values_of(page.json("charts")["elbow"], "distance")
        assert [(point["k"], point["distance"]) for point in points] == [
            (point["k"], point["mean_distance"]) for point in run.document["kmeans"]["elbow"]
        ]
        assert [point["k"] for point in points if point["chosen"]] == [8]

    def test_the_charts_of_sizes_and_silhouettes_have_a_bar_per_segment(self, run: Run, page: Page) -> None:
        charts = page.json("charts")
        segments = sorted(run.document["segments"], key=lambda segment: -segment["size"])
        sizes = values_of(charts["sizes"], "size")
        assert [(bar["label"], bar["size"], bar["share"]) for bar in sizes] == [
            (segment["label"], segment["size"], segment["share"]) for segment in segments
        ]
        silhouettes = values_of(charts["silhouettes"], "silhouette")
        assert [bar["silhouette"] for bar in silhouettes] == [segment["silhouette"] for segment in segments]

    def test_segments_come_by_size(self, run: Run, page: Page) -> None:
        by_size = sorted(run.document["segments"], key=lambda segment: -segment["size"])
        cards = [attributes["id"] for tag, attributes in page.tags if tag == "article"]
        assert cards == [f"segment-{segment['label']}" for segment in by_size]
        colors = [attributes["style"] for tag, attributes in page.tags if tag == "article"]
        assert colors == [f"--colour: {SEGMENTS[segment['label']]}" for segment in by_size]

    def test_every_card_says_how_stable_its_segment_is(self, run: Run, page: Page) -> None:
        for segment in run.document["segments"]:
            assert f"high (Jaccard coefficient {segment['stability']:.2f})" in page.words

    def test_a_much_steadier_number_of_segments_is_recommended(self, run: Run, page: Page) -> None:
        assert run.document["kmeans"]["steadier_k"] == 6
        assert "6 segments are much steadier than 8" in page.words
        points = values_of(page.json("charts")["steadiness"], "measure")
        assert [point["value"] for point in points if point["measure"] == "Silhouette"] == [
            point["silhouette"] for point in run.document["kmeans"]["elbow"]
        ]
        assert [point["measure"] for point in points if point["chosen"]] == [
            "Adjusted Rand index",
            "Silhouette",
        ]

    def test_a_run_without_uncertain_rows_says_so(self, run: Run) -> None:
        kmeans = run.document["kmeans"]
        certain = kmeans["stability"] | {"borders": [], "unstable_rows": 0}
        document = run.document | {"kmeans": kmeans | {"stability": certain, "steadier_k": None}}
        words = Page(render(replace(report_of(run), document=document))).words
        assert "Every one of the counties keeps its segment in at least 90 % of the 20 repetitions." in words
        assert "much steadier" not in words

    def test_histograms_span_each_features_range(self, run: Run, page: Page) -> None:
        for histogram, summary in zip(page.json("data")["histograms"], run.document["feature_summaries"], strict=True):
            assert histogram["minimum"] == summary["minimum"]
            assert histogram["minimum"] + 50 * histogram["width"] == pytest.approx(summary["maximum"])

    def test_heatmap_cells_have_each_segments_mean_and_effect(self, run: Run, page: Page) -> None:
        segments = sorted(run.document["segments"], key=lambda segment: -segment["size"])
        summary = max(run.document["feature_summaries"], key=lambda one: one["separation"])
        first = page.json("data")["featureCells"][: len(segments)]
        for cell, segment in zip(first, segments, strict=True):
            effect = (segment["mean_features"][summary["feature"]] - summary["mean"]) / summary["std"]
            assert cell["feature"] == summary["label"]
            assert cell["effect"] == pytest.approx(effect, abs=1e-3)
        cells = page.json("data")["componentCells"][: len(segments)]
        for cell, segment in zip(cells, segments, strict=True):
            assert cell["value"] == pytest.approx(segment["centroid_components"][0], abs=1e-4)

    def test_charts_are_valid_vega_lite(self, run: Run) -> None:
        checked = specifications(run.document, 0.8, with_map=True, validate=True)
        assert checked == specifications(run.document, 0.8, with_map=True)


class TestAlone:
    def test_no_tag_asks_for_anything(self, page: Page) -> None:
        for tag, attributes in page.tags:
            assert tag not in {"link", "img", "iframe", "object", "embed", "base"}
            assert not {"src", "srcset", "action", "poster"} & attributes.keys()
            assert tag != "a" or (attributes["href"] or "").startswith("#")

    def test_the_pages_own_policy_forbids_requests_and_eval(self, page: Page) -> None:
        (policy,) = [a["content"] or "" for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "eval" not in policy
        assert "http" not in policy

    def test_3220_counties_make_less_than_4_megabytes(self, run: Run) -> None:
        assert len(render(report_of(run)).encode()) < 4_000_000

    @pytest.mark.slow
    def test_75000_rows_make_less_than_15_megabytes_and_need_no_map(self) -> None:
        html = render(report_of(tracts(75_000)))
        assert len(html.encode()) < 15_000_000
        assert len(Page(html).json("data")["rows"]["id"]) == 75_000

    def test_3220_counties_are_rendered_in_less_than_3_seconds(self, run: Run) -> None:
        start = time.process_time()
        render(report_of(run))
        assert time.process_time() - start < 3


@pytest.fixture(scope="module")
def evil() -> tuple[Run, Page]:
    table = tracts(60, county=EVIL + "{}").table.rename(columns={"Share0": EVIL}).assign(State=EVIL)
    made = segment_table(table, kept=3, clusters=3)
    return made, Page(render(replace(report_of(made), manifest={"run_id": EVIL, EVIL: {EVIL: [{EVIL: EVIL}]}})))


class TestEscaping:
    def test_no_cell_becomes_a_tag(self, evil: tuple[Run, Page]) -> None:
        assert "img" not in {tag for tag, _ in evil[1].tags}
        assert len([1 for tag, _ in evil[1].tags if tag == "script"]) == 2 + 4
        assert not [1 for _, attributes in evil[1].tags for name in attributes if name.startswith("on")]

    def test_every_cell_comes_through_as_it_is(self, evil: tuple[Run, Page]) -> None:
        made, page = evil
        data = page.json("data")
        assert data["rows"]["states"] == [EVIL]
        assert data["rows"]["county"] == [EVIL + str(i) for i in range(60)]
        assert EVIL.removesuffix("\u2028") in page.text
        assert EVIL in {histogram["feature"] for histogram in data["histograms"]}
        assert made.document["segments"][0]["representatives"][0].startswith(EVIL)


def _all_of(year: str) -> counties.CountyMap:
    ids = sorted(counties.boundaries()[year].ids)
    return counties.join(ids, ids)


def outlines(topology: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the arcs of every shape by its code, each with its points instead of its number."""

    def points(arcs: Any) -> Any:
        if isinstance(arcs, list):
            return [points(each) for each in arcs]
        return arcs < 0, topology["arcs"][~arcs if arcs < 0 else arcs]

    return {shape["id"]: points(shape["arcs"]) for shape in topology["objects"][name]["geometries"]}


class TestMap:
    def test_every_county_of_2017_has_a_shape_of_its_own(self) -> None:
        ids = [str(i) for i in sample.draw().table["CensusId"]]
        joined = counties.join(ids, ids)
        assert joined.drawn
        assert joined.missing == ()
        assert set(joined.sources) == {"2017"}
        assert set(joined.rows) == {counties.fips(i) for i in ids} == counties.boundaries()["2017"].ids

    def test_every_region_of_2023_has_a_shape_of_its_own(self) -> None:
        ids = sorted(counties.boundaries()["2023"].ids)
        assert {"09110", "09190", "02063", "02066"} <= set(ids)
        joined = counties.join(ids, ids)
        assert joined.missing == ()
        assert set(joined.sources) == {"2023"}
        assert set(joined.rows) == set(ids)

    def test_a_state_is_drawn_with_the_boundaries_that_know_more_of_its_ids(self) -> None:
        kept = [code for code in counties.boundaries()["2017"].ids if code != "02261"]
        ids = sorted([*kept, "02063", "02066"])  # the map from 2019, when Alaska changed, to 2022
        joined = counties.join(ids, ids)
        assert joined.missing == ()
        assert {state for state, year in joined.years.items() if year == "2023"} == {"02"}
        drawn = json.loads(counties.topology(joined))
        assert sorted(shape["id"] for shape in drawn["objects"]["counties"]["geometries"]) == ids
        assert len(drawn["objects"]["states"]["geometries"]) == 52

    def test_puerto_rico_is_among_the_shapes(self) -> None:
        for each in counties.boundaries().values():
            assert len([code for code in each.ids if code.startswith("72")]) == 78

    @pytest.mark.parametrize(("old", "new"), [("46113", "46102"), ("2270", "02158"), ("1001", "01001")])
    def test_renamed_counties_find_their_shape(self, old: str, new: str) -> None:
        assert counties.fips(old) == new
        assert all(new in each.ids for each in counties.boundaries().values())

    def test_rows_without_a_shape_are_listed_with_a_reason(self) -> None:
        usual = [code for code in sorted(counties.boundaries()["2017"].ids) if code[:2] in ("01", "09")]
        others = {"51515": "Bedford", "09110": "Capitol", usual[0]: "Twin", "01999": "Nowhere"}
        joined = counties.join([*usual, *others], [*usual, *others.values()])
        assert joined.drawn
        reasons = dict(joined.missing)
        assert "part of Bedford County" in reasons["Bedford"]
        assert "planning region" in reasons["Capitol"]
        assert "same FIPS code" in reasons["Twin"]
        assert "no county with this FIPS code" in reasons["Nowhere"]

    def test_only_the_shapes_of_states_with_rows_and_their_arcs_are_in_the_topology(self) -> None:
        ids = [code for code in sorted(counties.boundaries()["2017"].ids) if code.startswith("06")]
        whole = counties.topology(counties.join(ids, ids))
        drawn = json.loads(whole)
        assert len(whole) < len(counties.topology(_all_of("2017"))) / 3
        assert [shape["id"] for shape in drawn["objects"]["states"]["geometries"]].count("06") == 1
        assert len(drawn["objects"]["others"]["geometries"]) == 51
        assert [shape["properties"]["row"] for shape in drawn["objects"]["counties"]["geometries"]] == [
            ids.index(shape["id"]) for shape in drawn["objects"]["counties"]["geometries"]
        ]

    @pytest.mark.parametrize("year", ["2017", "2023"])
    def test_the_shapes_are_those_of_the_atlas(self, year: str) -> None:
        stored = counties._vendored(f"boundaries-{year}.json")
        written = counties.topology(_all_of(year))
        assert len(written) < len(stored)
        atlas, drawn = json.loads(stored), json.loads(written)
        for name in ("counties", "states"):
            assert outlines(drawn, name) == outlines(atlas, name)

    def test_tracts_get_no_map_and_a_word_why(self) -> None:
        page = Page(render(report_of(tracts(40))))
        assert "No map: it knows US counties by their five-digit FIPS codes" in page.words
        assert "map" not in page.json("charts")
        assert "topology" not in {attributes.get("id") for _, attributes in page.tags}
        assert "40 regions in 8 segments" in page.words

    def test_row_numbers_are_not_taken_for_fips_codes(self) -> None:
        ids = [str(i) for i in range(3000)]
        assert not counties.join(ids, ids).drawn

    def test_beyond_the_listed_rows_there_is_neither_map_nor_table(self, run: Run) -> None:
        report = report_of(run)
        large = replace(report, statistics=replace(report.statistics, listed=None))
        page = Page(render(large))
        assert f"There is no map and no table because the file has more than {MAX_LISTED_ROWS:,} rows" in page.words
        assert page.json("data")["rows"] is None
        assert "table" not in [attributes.get("id") for tag, attributes in page.tags if tag == "section"]


class TestSmallRuns:
    @pytest.mark.parametrize("clusters", [1, 2])
    def test_a_run_with_few_segments_and_no_elbow_renders(self, run: Run, clusters: int) -> None:
        small = segment_table(run.table.head(400), kept=2, clusters=clusters)
        report = RunReport(
            small.document | {"kmeans": small.document["kmeans"] | {"elbow": []}},
            small.statistics,
            small.scaling,
            {},
            0.8,
        )
        page = Page(render(report))
        assert "elbow" not in page.json("charts")
        assert f"in {clusters} segment" in page.words


class TestPalette:
    # Machado, Oliveira and Fernandes 2009, full strength: protanopia, deuteranopia, tritanopia.
    SEEN = (
        np.eye(3),
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    )

    @staticmethod
    def oklab(linear: np.ndarray) -> np.ndarray:
        lms = [[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]]
        lab = [[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]
        seen: np.ndarray = np.cbrt(linear.clip(0, 1) @ np.transpose(lms)) @ np.transpose(lab)
        return seen

    @pytest.mark.parametrize(("segments", "least"), [(8, 0.12), (12, 0.07)])
    def test_segments_look_different_to_colour_blind_readers(self, segments: int, least: float) -> None:
        codes = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours(segments)])
        linear = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
        for eye in self.SEEN:
            lab = self.oklab(linear @ np.transpose(eye))
            apart = np.linalg.norm(lab[:, None] - lab, axis=2) + np.eye(segments)
            assert apart.min() >= least

    def test_beyond_twelve_segments_colours_repeat(self) -> None:
        assert colours(13)[12] == SEGMENTS[0]
        assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours(12))


@pytest.mark.parametrize(("people", "words"), [(28_312_000, "28.3 million"), (411_962, "412,000"), (0, "0")])
def test_a_population_is_written_with_three_significant_digits(run: Run, people: int, words: str) -> None:
    document = json.loads(json.dumps(run.document))
    document["segments"][0]["population"] = people
    assert f"{words} people" in Page(render(replace(report_of(run), document=document))).words
