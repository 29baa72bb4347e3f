"""What Prepare makes of a census that can be used."""

import gzip
import hashlib
import io
import json
import time
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from contract.names import MAX_SHARD_BYTES
from jobs.census.prepare import Prepared, SourceChanged, prepare, rows_per_shard
from jobs.sagemaker import recordio
from tests.reference import CENSUS_2015, needs_census
from tests.unit.jobs.census.census_files import HEADER, ROWS, MemorySink, csv_text, prepared

RECORDED_AUTAUGA = [0.005475, 0.005381, 0.005566, 0.026026, 0.759519, 0.215367, 0.004343, 0.024038, 0.0, 0.006702]
RECORDED_MEAN_HEAD = [0.00988273, 0.00986636, 0.00989863, 0.11017046, 0.7560245, 0.10094159, 0.0186819, 0.02940491]
RECORDED_MEAN_TAIL = [0.00980645, 0.7608103, 0.19442631, 0.21674445, 0.0294168, 0.22177474]


@pytest.fixture(scope="module")
def recorded() -> tuple[Prepared, MemorySink]:
    return prepared(CENSUS_2015.read_bytes(), minimum_rows=12)


class TestTheRecordedCensus:
    """The file of the notebook's run, and the figures which that run printed."""

    pytestmark = needs_census

    def test_two_incomplete_counties_are_dropped_and_named(self, recorded: tuple[Prepared, MemorySink]) -> None:
        made, _ = recorded
        assert (made.rows_read, made.rows_dropped, made.rows_kept) == (3220, 2, 3218)
        assert made.dropped_regions == [
            {"row": 550, "id": "15005", "name": "Hawaii-Kalawao", "empty_columns": ["ChildPoverty"]},
            {"row": 2675, "id": "48301", "name": "Texas-Loving", "empty_columns": ["Income", "IncomeErr"]},
        ]

    def test_34_features_are_scaled_as_the_notebook_scaled_them(self, recorded: tuple[Prepared, MemorySink]) -> None:
        made, sink = recorded
        assert len(made.features) == 34
        assert made.features[:2] == ["TotalPop", "Men"]
        np.testing.assert_allclose(sink.matrix()[0, :10], RECORDED_AUTAUGA, atol=1e-6)

    def test_the_scaled_mean_is_what_sagemakers_pca_found(self, recorded: tuple[Prepared, MemorySink]) -> None:
        made, _ = recorded
        np.testing.assert_allclose(made.scaled_mean[:8], RECORDED_MEAN_HEAD, atol=2e-6)
        np.testing.assert_allclose(made.scaled_mean[-6:], RECORDED_MEAN_TAIL, atol=2e-6)

    def test_every_value_equals_that_of_pandas_to_float32(self, recorded: tuple[Prepared, MemorySink]) -> None:
        _, sink = recorded
        table = pd.read_csv(CENSUS_2015, dtype=str).dropna()
        figures = table.iloc[:, 3:].to_numpy().astype(np.float64)
        low, high = figures.min(axis=0), figures.max(axis=0)
        np.testing.assert_array_equal(sink.matrix(), ((figures - low) / (high - low)).astype(np.float32))
        assert [row[2] for row in sink.regions()] == table["County"].tolist()

    def test_the_files_fingerprint_is_reported(self, recorded: tuple[Prepared, MemorySink]) -> None:
        made, _ = recorded
        data = CENSUS_2015.read_bytes()
        assert made.source["sha256"] == hashlib.sha256(data).hexdigest()
        assert made.source["bytes"] == len(data)


class TestFilesWritten:
    def test_regions_keep_leading_zeros_and_the_shards_order(self) -> None:
        _, sink = prepared(csv_text())
        assert sink.files["regions.csv"].decode() == (
            "id,state,county\n01001,Alabama,Autauga\n01003,Alabama,Baldwin\n01005,Alabama,Barbour\n01007,Alabama,Bibb\n"
        )

    def test_the_scaler_says_what_was_done(self) -> None:
        _, sink = prepared(csv_text(*ROWS, "01009,Alabama,Blount,57710,,16.7"))
        assert sink.scaler() == {
            "features": ["TotalPop", "Income", "Poverty"],
            "minimum": [22604.0, 32964.0, 12.9],
            "maximum": [195121.0, 51281.0, 26.7],
            "scaled_mean": pytest.approx([0.303538, 0.563971, 0.329710], abs=1e-6),
            "dropped_regions": [{"row": 6, "id": "01009", "name": "Alabama-Blount", "empty_columns": ["Income"]}],
            "constant_features": [],
            "ignored_columns": [],
            "corrected_columns": [],
            "source": {
                "sha256": hashlib.sha256(csv_text(*ROWS, "01009,Alabama,Blount,57710,,16.7").encode()).hexdigest(),
                "bytes": 241,
                "compression": None,
                "encoding": "ascii",
                "delimiter": ",",
                "decimal_mark": ".",
                "id_column": "CensusId",
            },
            "rows": {"read": 5, "dropped": 1, "kept": 4},
        }

    def test_the_shards_list_is_written_last(self) -> None:
        _, sink = prepared(csv_text())
        assert list(sink.files) == ["train/part-00000.pbr", "regions.csv", "scaler.json", "shards.json"]

    def test_the_same_file_gives_the_same_bytes(self) -> None:
        first, second = prepared(csv_text())[1], prepared(csv_text())[1]
        assert first.files == second.files

    def test_nothing_is_written_for_a_refused_file(self) -> None:
        sink = MemorySink()
        with pytest.raises(Exception, match="not a census"):
            prepare(lambda: io.BytesIO(b"not a census\n1\n"), sink, minimum_rows=2)
        assert sink.files == {}

    def test_a_file_that_changes_between_the_passes_is_noticed(self) -> None:
        contents = iter([csv_text(), csv_text().replace("Bibb", "Bobb")])
        sink = MemorySink()
        with pytest.raises(SourceChanged):
            prepare(lambda: io.BytesIO(next(contents).encode()), sink, minimum_rows=2)
        assert "shards.json" not in sink.files


@pytest.fixture(scope="module")
def tracts() -> bytes:
    """Give 70,000 rows, more than two shards and many blocks."""
    rng = np.random.default_rng(0)
    lines = ["CensusTract,State,County," + ",".join(f"f{i}" for i in range(34))]
    figures = rng.integers(0, 1000, (70_000, 34))
    texts = [str(value / 10) for value in range(1000)]
    for number, row in enumerate(figures.tolist()):
        county = '"Doña Ana, NM"' if number % 7 == 0 else "St. Clair"
        gap = "" if number % 5_000 == 17 else row[0]
        lines.append(
            f"{number:011d},State {number % 50},{county},{gap}," + ",".join([texts[value] for value in row[1:]])
        )
    return ("\n".join(lines) + "\n").encode()


@pytest.fixture(scope="module")
def sharded(tracts: bytes) -> tuple[Prepared, MemorySink]:
    return prepared(tracts)


class TestShards:
    def test_neither_request_nor_answer_exceeds_the_limit(self) -> None:
        for features in (2, 3, 34, 1000):
            rows = rows_per_shard(features)
            matrix = np.zeros((rows, features), np.float32)
            one = np.zeros(rows, np.float32)
            assert len(recordio.encode(matrix)) <= MAX_SHARD_BYTES
            assert len(recordio.encode_labels({"projection": matrix[:, 1:]})) <= MAX_SHARD_BYTES
            assert len(recordio.encode_labels({"closest_cluster": one, "distance_to_cluster": one})) <= MAX_SHARD_BYTES
            assert len(recordio.encode(np.zeros((rows, features - 1), np.float32))) <= MAX_SHARD_BYTES

    def test_a_shard_is_as_large_as_a_request_may_be(self, sharded: tuple[Prepared, MemorySink]) -> None:
        made, sink = sharded
        assert [shard["rows"] for shard in made.shards[:-1]] == [rows_per_shard(34)] * 2
        assert MAX_SHARD_BYTES - len(sink.files["train/part-00000.pbr"]) < 2 * recordio.frame_bytes(34)

    def test_shards_follow_on_each_other_without_gap(self, sharded: tuple[Prepared, MemorySink]) -> None:
        made, _ = sharded
        assert made.rows_kept == 70_000 - 14 == sum(shard["rows"] for shard in made.shards)
        for before, after in pairwise(made.shards):
            assert after["first_row"] == before["first_row"] + before["rows"]
            assert after["regions_start"] == before["regions_end"]

    def test_each_shard_knows_the_bytes_of_its_regions(
        self, sharded: tuple[Prepared, MemorySink], tracts: bytes
    ) -> None:
        made, sink = sharded
        whole = sink.files["regions.csv"]
        ids = pd.read_csv(io.BytesIO(tracts), dtype={"CensusTract": str}).dropna()["CensusTract"].tolist()
        for shard in made.shards:
            part = pd.read_csv(
                io.BytesIO(whole[shard["regions_start"] : shard["regions_end"]]),
                header=None,
                dtype=str,
                keep_default_na=False,
            )
            assert part[0].tolist() == ids[shard["first_row"] : shard["first_row"] + shard["rows"]]
            assert set(part[2]) == {"St. Clair", "Doña Ana, NM"}
        assert made.shards[-1]["regions_end"] == len(whole)

    def test_many_blocks_give_the_values_of_pandas(self, sharded: tuple[Prepared, MemorySink], tracts: bytes) -> None:
        _, sink = sharded
        figures = pd.read_csv(io.BytesIO(tracts)).dropna().iloc[:, 3:].to_numpy(np.float64)
        low, high = figures.min(axis=0), figures.max(axis=0)
        np.testing.assert_array_equal(sink.matrix(), ((figures - low) / (high - low)).astype(np.float32))

    def test_shards_json_lists_them_for_the_map(self, sharded: tuple[Prepared, MemorySink]) -> None:
        made, sink = sharded
        listed = json.loads(sink.files["shards.json"])
        assert listed[1] == {
            "part": "part-00001",
            "rows": made.shards[1]["rows"],
            "first_row": made.shards[1]["first_row"],
            "regions_start": made.shards[1]["regions_start"],
            "regions_end": made.shards[1]["regions_end"],
        }


class TestTime:
    def test_names_with_commas_take_time_in_proportion_to_the_rows(self) -> None:
        def spent(rows: int) -> float:
            lines = [
                f'{number:05d},Alabama,"Bibb County, Alabama",{number % 97},{number % 89}' for number in range(rows)
            ]
            content = "CensusId,State,County,TotalPop,Men\n" + "\n".join(lines) + "\n"
            began = time.process_time()
            prepared(content)
            return time.process_time() - began

        assert spent(20_000) < 60 * min(spent(1_000) for _ in range(3))


class TestColumns:
    @pytest.mark.parametrize("name", ["CensusId", "CountyId", "CensusTract", "TractId", "GEOID", "FIPS", "geoid"])
    def test_a_known_identifier_keeps_rows_apart(self, name: str) -> None:
        made, sink = prepared(csv_text(header=HEADER.replace("CensusId", name)))
        assert made.source["id_column"] == name
        assert sink.regions()[0] == ["01001", "Alabama", "Autauga"]
        assert "TotalPop" in made.features
        assert name not in made.features

    def test_without_an_identifier_the_rows_number_does(self) -> None:
        rows = [row.split(",", 1)[1] for row in ROWS]
        made, sink = prepared(csv_text(*rows, header=HEADER.split(",", 1)[1]))
        assert made.source["id_column"] is None
        assert [region[0] for region in sink.regions()] == ["2", "3", "4", "5"]

    def test_a_second_identifier_is_no_feature(self) -> None:
        rows = [f"{i},{row}" for i, row in enumerate(ROWS)]
        made, _ = prepared(csv_text(*rows, header="FIPS," + HEADER))
        assert made.source["id_column"] == "CensusId"
        assert made.ignored_columns == [{"name": "FIPS", "reason": "another identifier"}]

    def test_identifiers_may_stand_anywhere_and_in_any_case(self) -> None:
        text = "a,county,b,STATE,c,GeoId\n1,Bibb,2,Alabama,3,01007\n4,Autauga,6,Alabama,5,01001\n"
        made, sink = prepared(text)
        assert made.features == ["a", "b", "c"]
        assert sink.regions() == [["01007", "Alabama", "Bibb"], ["01001", "Alabama", "Autauga"]]

    def test_a_column_of_text_is_left_out_and_reported(self) -> None:
        rows = [f"{row},South {i}" for i, row in enumerate(ROWS)]
        made, _ = prepared(csv_text(*rows, header=HEADER + ",Region"))
        assert made.ignored_columns == [{"name": "Region", "reason": "text"}]
        assert made.features == ["TotalPop", "Income", "Poverty"]

    def test_a_column_with_one_value_is_left_out_and_reported(self) -> None:
        made, sink = prepared(csv_text(*[f"{row},7.5" for row in ROWS], header=HEADER + ",Year"))
        assert made.constant_features == [{"name": "Year", "value": 7.5}]
        assert sink.matrix().shape == (4, 3)

    def test_a_column_that_varies_only_in_dropped_rows_is_constant(self) -> None:
        rows = [f"{row},7.5" for row in ROWS]
        made, _ = prepared(csv_text(*rows, "01009,Alabama,Blount,57710,,16.7,9.9", header=HEADER + ",Year"))
        assert made.constant_features == [{"name": "Year", "value": 7.5}]

    def test_an_empty_column_without_a_name_is_a_spreadsheets_leftover(self) -> None:
        made, _ = prepared(csv_text(*[f"{row},," for row in ROWS], header=HEADER + ",,"))
        assert made.rows_kept == 4

    @pytest.mark.parametrize(
        ("row", "empty"),
        [
            (",Alabama,Blount,57710,4.0,16.7", ["CensusId"]),
            ("01009,,Blount,57710,4.0,16.7", ["State"]),
            ("01009,Alabama,  ,57710,4.0,16.7", ["County"]),
            ("01009,Alabama,Blount, ,4.0,", ["TotalPop", "Poverty"]),
            ('01009,Alabama,"",57710,4.0,16.7', ["County"]),
            ('01009,Alabama,Blount,"",4.0,16.7', ["TotalPop"]),
        ],
    )
    def test_any_empty_cell_drops_its_row(self, row: str, empty: list[str]) -> None:
        made, sink = prepared(csv_text(*ROWS, row))
        assert [dropped["empty_columns"] for dropped in made.dropped_regions] == [empty]
        assert len(sink.regions()) == 4

    def test_an_empty_cell_in_a_column_of_text_drops_its_row_too(self) -> None:
        rows = [f"{row},South" for row in ROWS]
        made, _ = prepared(csv_text(*rows, "01009,Alabama,Blount,1,2,3,", header=HEADER + ",Region"))
        assert made.dropped_regions[0]["empty_columns"] == ["Region"]

    def test_a_hundred_dropped_rows_are_named_and_all_are_counted(self) -> None:
        gaps = [f"{i},Alabama,County {i},,1,2" for i in range(150)]
        made, _ = prepared(csv_text(*ROWS, *gaps))
        assert made.rows_dropped == 150
        assert [region["row"] for region in made.dropped_regions] == list(range(6, 106))


class TestVariationsThatAreRead:
    """What other programs make of the same table gives the same shards."""

    @pytest.mark.parametrize(
        ("content", "fact"),
        [
            pytest.param(csv_text().encode(), {"encoding": "ascii"}, id="ASCII"),
            pytest.param(csv_text().encode("utf-8-sig"), {"encoding": "utf-8"}, id="UTF-8 with a mark"),
            pytest.param(csv_text().encode("utf-16"), {"encoding": "utf-16"}, id="UTF-16 with a mark"),
            pytest.param(csv_text().encode("utf-16-le"), {"encoding": "utf-16-le"}, id="UTF-16 without a mark"),
            pytest.param(csv_text().encode("utf-16-be"), {"encoding": "utf-16-be"}, id="UTF-16, big end first"),
            pytest.param(csv_text().encode("utf-32"), {"encoding": "utf-32"}, id="UTF-32"),
            pytest.param(csv_text().replace("\n", "\r\n").encode(), {}, id="CRLF"),
            pytest.param(csv_text().replace("\n", "\r").encode(), {}, id="CR"),
            pytest.param(csv_text().rstrip("\n").encode(), {}, id="no line end at the end"),
            pytest.param((csv_text() + "\n\n  \n").encode(), {}, id="blank lines at the end"),
            pytest.param(("\n\n" + csv_text()).encode(), {}, id="blank lines at the start"),
            pytest.param(csv_text().replace("\n", "\n\n").encode(), {}, id="a blank line after each row"),
            pytest.param(csv_text().replace(",", ";").encode(), {"delimiter": ";"}, id="semicolons"),
            pytest.param(csv_text().replace(",", "\t").encode(), {"delimiter": "\t"}, id="tabs"),
            pytest.param(csv_text().replace(",", "|").encode(), {"delimiter": "|"}, id="bars"),
            pytest.param(
                csv_text().replace(",", ";").replace(".", ",").encode(),
                {"delimiter": ";", "decimal_mark": ","},
                id="decimal commas between semicolons",
            ),
            pytest.param(gzip.compress(csv_text().encode()), {"compression": "gzip"}, id="gzip"),
            pytest.param(
                gzip.compress(csv_text()[:100].encode()) + gzip.compress(csv_text()[100:].encode()),
                {"compression": "gzip"},
                id="gzip in two members",
            ),
            pytest.param(gzip.compress(csv_text().encode("utf-16")), {"encoding": "utf-16"}, id="UTF-16 in gzip"),
            pytest.param(
                "\n".join(",".join(f'"{c}"' for c in line.split(",")) for line in csv_text().splitlines()).encode(),
                {},
                id="every cell quoted",
            ),
            pytest.param(csv_text().replace(",", ", ").encode(), {}, id="a blank after each comma"),
            pytest.param(csv_text().replace(",", " ,").encode(), {}, id="a blank before each comma"),
            pytest.param(csv_text().replace(",", " " * 40 + ",").encode(), {}, id="padded columns"),
            pytest.param(csv_text().replace("32964.0", "+3.2964E+4").encode(), {}, id="an exponent"),
            pytest.param(
                csv_text().replace("32964.0", "0000000032964.000000000000000").encode(), {}, id="padded zeros"
            ),
            pytest.param(csv_text().replace("32964.0", "32964." + "0" * 60).encode(), {}, id="a very long number"),
        ],
    )
    def test_it_is_read_as_the_plain_file_is(self, content: bytes, fact: dict[str, Any]) -> None:
        made, sink = prepared(content)
        _, plain = prepared(csv_text())
        for name in ("train/part-00000.pbr", "regions.csv", "shards.json"):
            assert sink.files[name] == plain.files[name]
        assert fact.items() <= made.source.items()

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
    def test_names_keep_their_accents(self, encoding: str) -> None:
        made, sink = prepared(csv_text(*ROWS, "35013,New Mexico,Doña Ana,1,2,3").encode(encoding))
        assert sink.regions()[-1] == ["35013", "New Mexico", "Doña Ana"]
        assert made.source["encoding"] == encoding.removesuffix("-sig")

    def test_accents_far_down_the_file_settle_its_encoding(self) -> None:
        rows = [f"{i:05d},Alabama,County {i},{i},{i / 10},1{i % 10}" for i in range(60_000)]
        made, sink = prepared(csv_text(*rows, "72003,Puerto Rico,Añasco,1,2,3").encode("cp1252"))
        assert sink.regions()[-1][2] == "Añasco"
        assert made.source["encoding"] == "cp1252"

    @pytest.mark.parametrize(
        ("cell", "name"),
        [
            ('"Autauga, the first"', "Autauga, the first"),
            ('"The ""Heart"" of Dixie"', 'The "Heart" of Dixie'),
            ('"Autauga\nCounty"', "Autauga County"),
            ('"Autauga\r\nCounty"', "Autauga County"),
            ("  Autauga ", "Autauga"),
            ("O'Brien", "O'Brien"),
        ],
    )
    def test_names_are_unquoted_and_trimmed(self, cell: str, name: str) -> None:
        _, sink = prepared(csv_text(f"01001,Alabama,{cell},55221,51281.0,12.9", *ROWS[1:]))
        assert [region[2] for region in sink.regions()] == [name, "Baldwin", "Barbour", "Bibb"]

    def test_a_comma_in_a_name_between_semicolons_is_quoted(self) -> None:
        text = csv_text().replace(",", ";").replace("Autauga", "Autauga, the first")
        assert prepared(text)[1].regions()[0] == ["01001", "Alabama", "Autauga, the first"]

    @pytest.mark.parametrize("content", [csv_text().encode(), gzip.compress(csv_text().encode())])
    def test_a_stream_that_gives_a_byte_at_a_time_is_read_whole(self, content: bytes) -> None:
        class Trickle(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                return super().read(1)

        sink = MemorySink()
        prepare(lambda: Trickle(content), sink, minimum_rows=2)
        assert sink.files == prepared(content)[1].files

    def test_a_record_may_end_anywhere_in_a_block(self, monkeypatch: pytest.MonkeyPatch) -> None:
        text = csv_text(*ROWS, '01009,Alabama,"Blount\r\nand ""more"", too",57710,45813.0,16.7').replace("\n", "\r\n")
        _, plain = prepared(text)
        for size in range(1, 60):
            monkeypatch.setattr("jobs.census.text.BLOCK_BYTES", size)
            assert prepared(text)[1].files == plain.files
