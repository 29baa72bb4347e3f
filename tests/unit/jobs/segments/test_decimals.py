"""Numbers written with numpy, compared with Python's own formatting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.segments import decimals

ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)
LIMITS = [0, 0.00012345678949999, *(10.0**power for power in range(-6, 7)), np.inf, np.nan, 1e308, 5e-324]
TIES = [0.1234567895, 0.12345678949999999, 1.00000000049999999, 9.9999999995, 9999.999995, 0.5, 2.5]


def written(form: str, numbers: np.ndarray) -> list[bytes]:
    return [(form % number).encode() for number in numbers.tolist()]


@pytest.mark.parametrize("size", [1e-12, 1e-5, 1e-4, 1e-3, 0.1, 1, 100, 1e4, 1e9])
def test_nine_significant_digits_are_those_of_python(size: float) -> None:
    numbers = np.random.default_rng(0).normal(size=5_000) * size
    for column in (numbers, numbers.astype(np.float32).astype(np.float64)):
        assert decimals.lines([decimals.significant(column)]) == written("%.9g", column)


@given(st.lists(ANY_FLOAT, min_size=1, max_size=20))
def test_any_number_is_written_as_python_writes_it(numbers: list[float]) -> None:
    assert decimals.lines([decimals.significant(numbers)]) == written("%.9g", np.array(numbers))


def test_numbers_at_the_limits_of_the_tables_are_exact() -> None:
    found = np.array([*LIMITS, *TIES])
    numbers = np.concatenate([found, np.nextafter(found, 0), np.nextafter(found, 1e300)])
    for signed in (numbers, -numbers):
        assert decimals.lines([decimals.significant(signed)]) == written("%.9g", signed)


def test_ties_round_to_even_where_float64_holds_them_exactly() -> None:
    numbers = 1 + np.arange(2**12) / 2**12 + 2.0**-20
    assert decimals.lines([decimals.significant(numbers)]) == written("%.9g", numbers)
    halves = np.arange(1, 2**12) / 2**13 + 2.0**-14
    assert decimals.lines([decimals.fixed(halves)]) == written("%.6f", halves)


def test_six_decimals_stay_even_if_they_are_zeros() -> None:
    numbers = np.array([0, 1, 0.5, 1 / 3, 0.9999995, 0.0000005, 0.1234565, 12.25])
    assert decimals.lines([decimals.fixed(numbers)]) == written("%.6f", numbers)


def test_whole_numbers_have_no_leading_zeros() -> None:
    numbers = np.array([0, 12, 10_000, 7, 123_456_789, 12])
    assert decimals.lines([decimals.integers(numbers)]) == written("%d", numbers)


def test_columns_become_lines_with_commas() -> None:
    label = decimals.integers([3, 12])
    assert decimals.lines([label, decimals.join("<", label, ">"), decimals.fixed([0.5, 1])]) == [
        b"3,<3>,0.500000",
        b"12,<12>,1.000000",
    ]
