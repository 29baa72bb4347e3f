"""Writes columns of numbers as text with numpy, byte for byte as Python's ``%`` writes them.

Python formats one number at a time, which takes four times as long. Here each number becomes an integer part and twelve
decimals, and tables hold the characters of every four digits. Python writes the few numbers that are written with an
exponent, that have more than four digits before the point, or that float64 might round to the wrong side.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Text = NDArray[np.uint8]
"""A column of text (rows, width): one byte per character, and zero bytes where a row has no character."""

_SIGNIFICANT = 9  # digits from which float32 is read back unchanged
_DECIMALS = 12
_FIXED_DECIMALS = 6
_GROUP = 10_000  # the tables have an entry for every four digits
_POWERS = 10.0 ** np.arange(-4, 5)  # %g writes smaller numbers with an exponent; the tables end at the last power
_TEN_TO = (10 ** np.arange(_DECIMALS + 1, dtype=np.int64)).astype(np.float64)
_NEAR_TIE = 1e-6  # a number that is scaled to nine digits has an error below 2e-7

_MINUS, _POINT = b"-."
_CELL = np.dtype([("sign", "u1"), ("whole", "<u4"), ("point", "u1"), ("part", "<u4", 3)])


def _table(texts: Sequence[str]) -> NDArray[np.uint32]:
    """Return the characters of each text, at most four, as one word."""
    return np.array(texts, "S4").view("<u4")


_FOUR_DIGITS = [f"{number:04}" for number in range(_GROUP)]
_WHOLE = _table([str(number) for number in range(_GROUP)])
# The second half is for the last digits of a number, which lose their trailing zeros.
_PART = np.concatenate([_table(_FOUR_DIGITS), _table([digits.rstrip("0") for digits in _FOUR_DIGITS])])


def join(*columns: Text | str) -> Text:
    """Join columns, and texts that are the same in every row, from left to right."""
    rows = next(len(column) for column in columns if not isinstance(column, str))
    texts = [np.frombuffer(column.encode(), np.uint8) if isinstance(column, str) else column for column in columns]
    table = np.empty((rows, sum(text.shape[-1] for text in texts)), np.uint8)
    end = 0
    for text in texts:
        start, end = end, end + text.shape[-1]
        table[:, start:end] = text
    return table


def lines(columns: Sequence[Text]) -> list[bytes]:
    """Return the rows of a table as text, with commas between the columns."""
    table = join(*(part for column in columns for part in (column, ",")))
    table[:, -1] = ord("\n")
    return table.tobytes().translate(None, b"\0").split(b"\n")[:-1]


def integers(numbers: ArrayLike) -> Text:
    """Write whole numbers (rows,), of which few are different, as ``%d`` does."""
    different, places = np.unique(np.asarray(numbers, dtype=np.int64), return_inverse=True)
    texts = np.array([str(number) for number in different.tolist()], "S")
    return texts[places].view(np.uint8).reshape(len(places), -1)


def significant(numbers: ArrayLike) -> Text:
    """Write numbers of any shape (...) with nine significant digits, as ``%.9g`` does: text (..., width)."""
    values = np.asarray(numbers, dtype=np.float64)
    sizes = np.abs(values)
    known = (sizes >= _POWERS[0]) & (sizes < _POWERS[-1]) | (sizes == 0) & ~np.signbit(values)
    digits_before = np.searchsorted(_POWERS, sizes, side="right") - len(_POWERS) // 2
    return _write(values, "%.9g", known, np.clip(_SIGNIFICANT - digits_before, 0, _DECIMALS))


def fixed(numbers: ArrayLike) -> Text:
    """Write numbers (rows,) with six decimals, as ``%.6f`` does."""
    values = np.asarray(numbers, dtype=np.float64)
    known = (values >= 0) & (values < _POWERS[-1])
    text = _write(values, "%.6f", known, np.full(len(values), _FIXED_DECIMALS), strip=False)
    return text[:, : _FIXED_DECIMALS - _DECIMALS]


def _write(
    values: NDArray[np.float64],
    form: str,
    known: NDArray[np.bool_],
    decimals: NDArray[np.int64],
    *,
    strip: bool = True,
) -> Text:
    """Write numbers (...) as `form` does, each with so many decimals: text (..., width).

    Parameters
    ----------
    known
        (...) which numbers fit the tables; Python writes the others.
    strip
        Whether the decimals end with the last one that is not zero, and a number without any has no point.
    """
    power = _TEN_TO[decimals]
    scaled = np.where(known, np.abs(values), 0) * power
    rounded = np.rint(scaled)
    # The numbers are whole and below 10^13, so that no quotient is rounded up to the next whole number in float64.
    whole, part = _divide(rounded, power)
    part *= _TEN_TO[_DECIMALS - decimals]
    first, others = _divide(part, _GROUP**2)
    second, third = _divide(others, _GROUP)
    cells = np.zeros(values.shape, _CELL)
    cells["sign"] = np.where(values < 0, _MINUS, 0)
    cells["whole"] = _WHOLE[np.minimum(whole, _GROUP - 1).astype(np.intp)]
    cells["point"] = np.where(part > 0, _POINT, 0) if strip else _POINT
    for group, (digits, is_last) in enumerate([(first, others == 0), (second, third == 0), (third, part >= 0)]):
        cells["part"][..., group] = _PART[digits.astype(np.intp) + _GROUP * (is_last & strip)]
    text = cells.view(np.uint8).reshape(*values.shape, _CELL.itemsize)
    unsure = (np.abs(np.abs(scaled - rounded) - 0.5) < _NEAR_TIE) | (whole >= _GROUP) | ~known
    for place in zip(*np.nonzero(unsure), strict=True):
        text[place] = np.frombuffer((form % values[place]).encode().ljust(_CELL.itemsize, b"\0"), np.uint8)
    return text


def _divide(
    numbers: NDArray[np.float64], by: NDArray[np.float64] | float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return whole quotients and remainders; `np.divmod` of integers takes several times as long."""
    quotients = np.floor(numbers / by)
    return quotients, numbers - quotients * by
