"""Numbers read a column at a time are the numbers that Python reads, to the last bit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.census.cells import Cells
from jobs.census.problems import UnreadableText


def column(cells: list[str], decimal_mark: str = ".") -> np.ndarray:
    """Read cells as one column of a table between semicolons."""
    block = "".join(f"{i};{cell};x\n" for i, cell in enumerate(cells)).encode()
    return Cells(block, ";", 3, 2).numbers(1, decimal_mark).values


short = st.from_regex(
    r"[0-9]{1,8}|[0-9]{0,3}\.[0-9]{1,4}|[0-9]{1,4}\.[0-9]{0,3}", fullmatch=True, alphabet="0123456789."
)
any_number = st.one_of(short, st.floats(0, allow_infinity=False).map(repr), st.integers(-(10**20), 10**20).map(str))


@given(st.lists(short, min_size=1, max_size=30))
@settings(max_examples=200)
def test_short_numbers_are_correctly_rounded(cells: list[str]) -> None:
    assert column(cells).tolist() == [float(cell) for cell in cells]


@given(st.lists(any_number, min_size=1, max_size=30))
@settings(max_examples=200)
def test_numbers_of_any_length_among_short_ones_are_correctly_rounded(cells: list[str]) -> None:
    assert column(cells).tolist() == [float(cell) for cell in cells]


@given(st.lists(short, min_size=1, max_size=30))
@settings(max_examples=50)
def test_a_decimal_comma_reads_as_a_decimal_point(cells: list[str]) -> None:
    commas = [cell.replace(".", ",") for cell in cells]
    assert column(commas, ",").tolist() == [float(cell) for cell in cells]


@pytest.mark.parametrize("decimals", range(8))
def test_a_column_with_equally_many_decimals_is_read_at_once(decimals: int) -> None:
    cells = [f"{value:.{decimals}f}"[:8] for value in (0, 1.23456789, 7.5, 9.0)]
    assert column(cells).tolist() == [float(cell) for cell in cells]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters=';"\n\r'), max_size=12), min_size=1))
@settings(max_examples=300)
def test_what_is_no_plain_number_is_none(cells: list[str]) -> None:
    for cell, value in zip(cells, column(cells).tolist(), strict=True):
        plain = cell.strip(" \t")
        number = plain.isascii() and "_" not in plain and plain == plain.strip() and is_number(plain)
        assert (not math.isnan(value)) == number


def is_number(text: str) -> bool:
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False


def test_empty_cells_are_told_from_text() -> None:
    numbers = Cells(b"a;;1\nb;x;1\nc; ;1\nd;4;1\n", ";", 3, 2).numbers(1)
    assert numbers.empty is not None
    assert numbers.text is not None
    assert numbers.empty.tolist() == [True, False, True, False]
    assert numbers.text.tolist() == [False, True, False, False]


def test_columns_can_be_copied_in_any_order() -> None:
    cells = Cells(b"Autauga,5,01001,Alabama\nBibb,6,01007,Alabama\n", ",", 4, 2)
    assert cells.csv_lines([2, 3, 0], np.array([1]))[0] == b"01007,Alabama,Bibb\n"


def test_lines_are_measured_in_bytes_quoted_or_not() -> None:
    cells = Cells('Doña Ana,"a, b"\nBibb,c\n'.encode(), ",", 2, 2)
    lines, lengths = cells.csv_lines([None, 1, 0], np.array([0, 1]))
    assert lines.decode() == '2,"a, b",Doña Ana\n3,c,Bibb\n'
    assert lengths.tolist() == [19, 9]


def test_each_record_is_one_line_even_if_a_cell_has_a_line_break() -> None:
    cells = Cells(b'"New\nMexico",1\nOhio,2\n', ",", 2, 2)
    assert cells.csv_lines([1, 0], np.array([0, 1]))[0] == b"1,New Mexico\n2,Ohio\n"


def test_a_stray_quotation_mark_names_its_record() -> None:
    with pytest.raises(UnreadableText) as caught:
        Cells(b'a,"b\nc"\nd,e"f"\n', ",", 2, 2)
    assert caught.value.in_block(2).problem.row == 3
