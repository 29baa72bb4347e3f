"""labeled_counties.csv: written in parts, put together under names."""

import csv
import io

import numpy as np

from jobs.segments.labels import fill_in_names, header, labeled_rows
from jobs.segments.rows import Certainty, Regions
from tests.census_run import regions_of

REGIONS = regions_of(
    ["01001", "1003", "3"],
    ["Alabama", "Puerto Rico", "New Mexico"],
    ["Autauga", 'Doña "Ana", the long', "Año"],
)
COMPONENTS = np.array([[0.1, -2], [1 / 3, 1e-9], [0, 5]], dtype=np.float32)
LABELS, DISTANCES = np.array([2, 0, 1]), np.array([0.25, 1 / 7, 0], dtype=np.float32)
NUMBERS = np.array([0, 11, 2])

CERTAINTY = Certainty(np.array([0, 1, 2]), np.array([0.5, 1 / 3, 0]), np.array([0.97, 1, 0.5]))


def part_of(regions: Regions, previous_labels: np.ndarray | None = None) -> bytes:
    return labeled_rows(
        regions, COMPONENTS, LABELS, DISTANCES, CERTAINTY, numbers=NUMBERS, previous_labels=previous_labels
    )


def rows_of(text: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.decode(), newline="")))


def test_the_header_names_the_kept_components() -> None:
    after = b"label,distance,segment,runner_up,margin,stability,previous_model_label"
    assert header(2) == b"CensusId,State,County,c_1,c_2," + after + b"\n"


def test_a_part_and_its_names_make_rows_that_any_csv_reader_takes() -> None:
    names = {0: "High income", 2: 'Poverty, "long" commutes', 11: "Native 40 %"}
    part = b"".join(fill_in_names(part_of(REGIONS), names))
    first, second, third = rows_of(part)
    assert first[:3] == ["01001", "Alabama", "Autauga"]
    assert first[5:] == ["2", "0.25", 'Poverty, "long" commutes', "0", "0.500000", "0.97", ""]
    assert second[1:3] == ["Puerto Rico", 'Doña "Ana", the long']
    assert second[-4:] == ["11", "0.333333", "1", ""]
    assert third[7] == "Native 40 %"


def test_numbers_come_back_as_the_float32_they_were() -> None:
    rows = rows_of(part_of(REGIONS))
    read = np.array([row[3:5] for row in rows], dtype=np.float32)
    assert (read == COMPONENTS).all()
    assert (np.array([row[6] for row in rows], dtype=np.float32) == DISTANCES).all()


def test_regions_are_read_back_from_any_span_of_lines() -> None:
    text = '01001,Alabama,Autauga\n1003,Puerto Rico,"Doña ""Ana"", the long"\n3,New Mexico,Año\n'.encode()
    assert Regions.read(text).columns == (
        ("01001", "1003", "3"),
        ("Alabama", "Puerto Rico", "New Mexico"),
        ("Autauga", 'Doña "Ana", the long', "Año"),
    )


def test_a_part_is_written_byte_for_byte_as_documented() -> None:
    part = b"".join(fill_in_names(part_of(REGIONS), dict.fromkeys((0, 2, 11), "Rich")))
    assert part.split(b"\n")[0] == b'01001,Alabama,Autauga,0.100000001,-2,2,0.25,"Rich",0,0.500000,0.97,'


def test_names_that_look_like_formulas_stay_exact() -> None:
    names = ('=HYPERLINK("http://x","y")', "+cmd|' /C calc'!A0", "@SUM(1)")
    regions = regions_of(names, names, names)
    for name, row in zip(names, rows_of(part_of(regions)), strict=True):
        assert row[:3] == [name] * 3


def test_the_previous_models_labels_stand_last() -> None:
    assert [row[-1] for row in rows_of(part_of(REGIONS, np.array([7, 0, 11])))] == ["7", "0", "11"]


def test_a_part_of_any_size_is_filled_in_block_by_block() -> None:
    part, names = part_of(REGIONS), dict.fromkeys((0, 2, 11), "Rich")
    copies = 3_000_000 // len(part)
    blocks = list(fill_in_names(part * copies, names))
    assert len(blocks) > 1
    assert all(block.endswith(b"\n") for block in blocks)
    assert b"".join(blocks) == b"".join(fill_in_names(part, names)) * copies
