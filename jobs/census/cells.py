"""Splits a block of CSV records into cells and parses whole columns of numbers with numpy.

Parsing row by row in Python takes six times as long, and pandas' parser up to one and a half times as long. Nearly
every number in a census has at most eight characters. About thirty vector operations parse a column of such numbers:
the characters of each are loaded as one 64-bit word, and its digits are combined in pairs, fours and eights
(https://lemire.me/blog/2022/01/21/swar-explained-parsing-eight-digits/). The digits form an integer below 10^8, which
is divided by a power of ten. Float64 represents both exactly, so the quotient is the correctly rounded value. Longer
numbers and other notations are parsed by numpy's and Python's own conversions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.census.problems import SHOWN_OF_EACH_KIND, Problem, UnreadableText

Bytes = NDArray[np.uint8]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]
Words = NDArray[np.uint64]
Floats = NDArray[np.float64]

_WORD = 8
_PADDING = b"\0" * _WORD  # the word that ends with the first cell may start up to eight bytes before the block
_LINE_FEED, _QUOTE, _COMMA, _POINT = 10, 34, 44, 46

_U = np.uint64
_ZEROS = _U(0x3030303030303030)  # eight "0"
_ONES = _U(0x0101010101010101)
_HIGH_BITS = _U(0x8080808080808080)
_OVER_NINE = _U(0x7676767676767676)  # added to a byte over 9, it sets the byte's high bit
_BYTE, _SEVEN, _TEN, _ONE = _U(8), _U(7), _U(10), _U(1)

# Indexed by the length of a cell: a mask of the bytes in the word that belong to the cell.
_OWN_BYTES = np.array([0, *((2**64 - 1) << _WORD * (_WORD - n) & (2**64 - 1) for n in range(1, 9))], _U)
# Indexed by the position of the decimal mark in the word (8 if there is none): the number of bits by which to shift the
# digits before the mark, and the divisor.
_MOVE_UP = np.array([8] * 8 + [0], _U)
_DIVISOR = np.array([10.0 ** (7 - byte) for byte in range(8)] + [1.0])

_SPACES = np.isin(np.arange(256), list(b" \t\n"))
_NUMERIC = np.isin(np.arange(256), list(b"0123456789+-.eE"))
_LONGEST_IN_VECTORS = 32
_TRIMMED_IN_VECTORS = 8
_MAY_START_INFINITY = np.isin(np.arange(256), list(b"iI+-"))
_INFINITIES = ("inf", "infinity")
_ALL = slice(None)


@dataclass(frozen=True)
class Numbers:
    """One column of a block, parsed as numbers.

    Attributes
    ----------
    values
        Shape (records,). NaN if the cell is empty or not a number; infinite if the cell says so or if the value exceeds
        the range of float64.
    empty, text
        Shape (records,). Masks of the cells that are empty, and of those that contain other text than a number;
        ``None`` if there are none.
    """

    values: Floats
    empty: Mask | None
    text: Mask | None


class Cells:
    """The cells of one block, limited to the records that have as many cells as the header.

    Attributes
    ----------
    rows
        Shape (records,). The row number of each record in the file.
    ragged, ragged_rows
        Problems for the first hundred records whose number of cells differs from the header's, and the number of all
        such records.
    next_row
        The row number of the first record after the block.
    """

    def __init__(self, block: bytes, delimiter: str, columns: int, first_row: int) -> None:
        self._buffer: Bytes = np.frombuffer(_PADDING + block, np.uint8)
        self._quoted = b'"' in block
        boundary = self._buffer == ord(delimiter)
        boundary |= self._buffer == _LINE_FEED
        if self._quoted:
            quotes = self._buffer == _QUOTE
            boundary &= np.cumsum(quotes, dtype=np.uint8) & 1 == 0
        ends = np.flatnonzero(boundary)
        last = np.flatnonzero(self._buffer[ends] == _LINE_FEED)
        self.next_row = first_row + len(last)
        self.ragged: list[Problem] = []
        self.ragged_rows = 0
        if self._quoted:
            self._refuse_stray_quotes(np.flatnonzero(quotes), ord(delimiter), ends[last])
        firsts = np.concatenate([[len(_PADDING)], ends[last[:-1]] + 1])
        if len(last) * columns == len(ends) and (last[0] == columns - 1) and (np.diff(last) == columns).all():
            self.rows: Index = np.arange(first_row, self.next_row)
        else:
            counts = np.diff(last, prepend=-1)
            whole = counts == columns
            self._note_ragged(firsts, ends[last], counts, columns, first_row)
            ends, firsts = ends[np.repeat(whole, counts)], firsts[whole]
            self.rows = np.flatnonzero(whole) + first_row
        self._firsts: Index = firsts
        self._ends: Index = np.ascontiguousarray(ends.reshape(-1, columns).T)
        # Element i is the word at byte i: a view with overlapping elements, not a copy.
        self._words: Words = np.ndarray((len(self._buffer) - _WORD + 1,), "<u8", self._buffer.data, strides=(1,))

    def __len__(self) -> int:
        return len(self.rows)

    def numbers(self, column: int, decimal_mark: str = ".") -> Numbers:
        """Parse a column as numbers.

        Parameters
        ----------
        decimal_mark
            ``"."`` or ``","``.
        """
        start, end = self._bounds(column)
        length = end - start
        values, odd = _parse_words(self._words[end - _WORD], length, ord(decimal_mark))
        empty = length == 0 if length.min(initial=1) == 0 else None
        if length.max(initial=0) > _WORD:
            odd = length > _WORD if odd is None else odd | (length > _WORD)
        text = None
        if odd is not None:
            where = np.flatnonzero(odd)
            values[where], blank, wrong = self._parse_odd(start[where], end[where], decimal_mark)
            if blank.any():
                empty = np.zeros(len(self), bool) if empty is None else empty
                empty[where[blank]] = True
            if wrong.any():
                text = np.zeros(len(self), bool)
                text[where[wrong]] = True
        if empty is not None:
            values[empty] = np.nan
        return Numbers(values, empty, text)

    def empty(self, column: int) -> Mask | None:
        """Return a mask of the empty or blank cells of a column, or ``None`` if there are none."""
        start, end = self._trimmed(*self._bounds(column))
        empty: Mask = start == end
        return empty if empty.any() else None

    def text(self, column: int, record: int) -> str:
        """Return the text of one cell without surrounding blanks and with line breaks replaced by spaces."""
        start, end = self._bounds(column, np.array([record]))
        cell = self._buffer[start[0] : end[0]].tobytes().decode()
        if self._quoted:
            cell = cell.replace('""', '"')
        return cell.replace("\n", " ").strip(" \t")

    def csv_lines(self, columns: list[int | None], records: Index) -> tuple[bytes, Index]:
        """Copy columns of some records into CSV lines.

        Parameters
        ----------
        columns
            The columns to copy, in this order; ``None`` inserts the row number of the record.
        records
            The indices of the records to copy.

        Returns
        -------
        bytes
            Comma-separated lines that end in line feeds, quoted as RFC 4180 requires.
        ndarray
            Shape (records,). The length of each line in bytes.
        """
        copied = None if None in columns else self._copied_lines([c for c in columns if c is not None], records)
        if copied is not None:
            return copied
        lines = [
            ",".join(_quoted(str(self.rows[i]) if c is None else self.text(c, i)) for c in columns).encode() + b"\n"
            for i in records.tolist()
        ]
        return b"".join(lines), np.array([len(line) for line in lines], np.int64)

    def _copied_lines(self, columns: list[int], records: Index) -> tuple[bytes, Index] | None:
        """Gather the bytes of all lines in one indexing operation; return ``None`` if a cell needs quoting."""
        bounds = [self._trimmed(*self._bounds(column, records)) for column in columns]
        starts = np.stack([start for start, _ in bounds], axis=1)
        lengths = np.stack([end - start for start, end in bounds], axis=1) + 1  # a separator after each
        offsets = np.cumsum(lengths.ravel()) - lengths.ravel()
        total = int(lengths.sum())
        source = np.repeat(starts.ravel() - offsets, lengths.ravel()) + np.arange(total)
        lines = self._buffer[source]
        separators = (offsets + lengths.ravel() - 1).reshape(lengths.shape)
        lines[separators[:, :-1]] = _COMMA
        lines[separators[:, -1]] = _LINE_FEED
        special = np.count_nonzero((lines == _COMMA) | (lines == _LINE_FEED) | (lines == _QUOTE))
        return (lines.tobytes(), lengths.sum(axis=1)) if special == separators.size else None

    def _bounds(self, column: int, records: Index | slice = _ALL) -> tuple[Index, Index]:
        """Return the start and the end of cells of a column, excluding enclosing quotation marks."""
        end = self._ends[column][records]
        start = self._firsts[records] if column == 0 else self._ends[column - 1][records] + 1
        if self._quoted:
            wrapped = (self._buffer[start] == _QUOTE) & (start < end)
            return start + wrapped, end - wrapped
        return start, end

    def _trimmed(self, start: Index, end: Index) -> tuple[Index, Index]:
        """Exclude leading and trailing blanks from cells."""
        for _ in range(_TRIMMED_IN_VECTORS):
            before = _SPACES[self._buffer[start]] & (start < end)
            after = _SPACES[self._buffer[end - 1]] & (start + before < end)
            if not before.any() and not after.any():
                return start, end
            start, end = start + before, end - after
        start, end = start.copy(), end.copy()
        for i in np.flatnonzero(start < end).tolist():
            cell = self._buffer[start[i] : end[i]].tobytes()
            start[i] += len(cell) - len(cell.lstrip(b" \t\n"))
            end[i] = start[i] + len(cell.strip(b" \t\n"))
        return start, end

    def _parse_odd(self, start: Index, end: Index, decimal_mark: str) -> tuple[Floats, Mask, Mask]:
        """Parse the cells that `_parse_words` cannot; return their values, a mask of blank ones, and one of text."""
        start, end = self._trimmed(start, end)
        length = end - start
        values = np.full(len(start), np.nan)
        width = min(int(length.max(initial=1)), _LONGEST_IN_VECTORS) or 1
        offsets = np.arange(width)
        characters = self._buffer[np.minimum(start[:, None] + offsets, len(self._buffer) - 1)]
        if decimal_mark == ",":
            characters = np.array([*range(_COMMA), _POINT, 45, 0, *range(47, 256)], np.uint8)[characters]
        beyond = offsets >= length[:, None]
        plain = (_NUMERIC[characters] | beyond).all(axis=1) & (length > 0) & (length <= _LONGEST_IN_VECTORS)
        characters[beyond] = 0
        try:
            values[plain] = characters[plain].view(f"S{width}")[:, 0].astype(np.float64)
        except ValueError:
            plain[:] = False
        may_be_number = (length > _LONGEST_IN_VECTORS) | _MAY_START_INFINITY[self._buffer[start]]
        may_be_number |= (_NUMERIC[characters] | beyond).all(axis=1)
        for i in np.flatnonzero(may_be_number & ~plain & (length > 0)).tolist():
            values[i] = _one_number(self._buffer[start[i] : end[i]].tobytes(), decimal_mark)
        values += 0.0  # -0 becomes 0
        return values, length == 0, np.isnan(values) & (length > 0)

    def _note_ragged(self, firsts: Index, lasts: Index, counts: Index, columns: int, first_row: int) -> None:
        for i in np.flatnonzero((counts != columns) & (firsts < lasts)).tolist():
            if counts[i] == 1 and not self._buffer[firsts[i] : lasts[i]].tobytes().strip():
                continue
            self.ragged_rows += 1
            if self.ragged_rows <= SHOWN_OF_EACH_KIND:
                self.ragged.append(
                    Problem(
                        "ragged_row",
                        f"there {'is 1 cell' if counts[i] == 1 else f'are {counts[i]} cells'}",
                        f"expected {columns}, as in the header; a cell that holds the separator needs quotation marks",
                        row=first_row + i,
                    )
                )

    def _refuse_stray_quotes(self, quotes: Index, delimiter: int, line_ends: Index) -> None:
        """Refuse a quotation mark that neither opens nor closes a cell, because the end of the cell is ambiguous."""
        opening, closing = quotes[0::2], quotes[1::2]
        outside = (delimiter, _LINE_FEED, _QUOTE)
        stray_opening = ~np.isin(self._buffer[opening - 1], (*outside, 0))
        stray_closing = ~np.isin(self._buffer[closing + 1], outside)
        stray = np.concatenate([opening[stray_opening], closing[stray_closing]])
        if len(stray):
            raise UnreadableText(
                Problem(
                    "stray_quote",
                    "there is a quotation mark in the middle of a cell",
                    'put the whole cell in quotation marks, and write "" for one inside',
                ),
                records=int(np.searchsorted(line_ends, stray.min())),
            )


def _parse_words(word: Words, length: Index, decimal_mark: int) -> tuple[Floats, Mask | None]:
    """Parse each number from the eight bytes that end with its last character.

    Returns
    -------
    values
        Undefined for the cells in `odd`; 0 for empty cells.
    odd
        Mask of the cells that contain anything but digits and one decimal mark; ``None`` if there are none.
    """
    word ^= _ZEROS  # a digit's byte is now its value
    word &= _OWN_BYTES.take(length, mode="clip")
    mark = decimal_mark ^ 0x30
    byte = int(word[0]).to_bytes(_WORD, "little").find(mark) if len(word) else -1
    alone: Mask | None = None  # a decimal mark without digits is not a number
    divisor: Floats | float = 1.0
    if byte >= 0 and ((word & _U(0xFF << 8 * byte)) == _U(mark << 8 * byte)).all():
        # The common case: all numbers of the column have the same number of decimals.
        digits_before = word & _U((1 << 8 * byte) - 1)
        digits_before <<= _BYTE
        word &= _U(2**64 - (1 << 8 * byte + 8))
        word |= digits_before
        divisor = 10.0 ** (7 - byte)
        alone = length == 1 if byte == _WORD - 1 else None
    elif np.count_nonzero(_over_nine(word)):
        first_mark = _first_bytes_equal(word, mark)
        below = (first_mark >> _SEVEN) - _ONE  # the bits before the mark's byte; all bits if there is no mark
        mark_byte = np.bitwise_count(below) >> 3
        digits_before = (word & below) << _MOVE_UP.take(mark_byte)
        word &= ~(first_mark << _ONE) + _ONE  # the bytes after the mark; no bytes if there is no mark
        word |= digits_before
        divisor = _DIVISOR.take(mark_byte)
        alone = (length == 1) & (mark_byte < _WORD)
    values = _combine_digits(word).astype(np.float64)
    values /= divisor
    over = _over_nine(word)
    if np.count_nonzero(over) == 0 and (alone is None or not alone.any()):
        return values, None
    return values, (over != 0) if alone is None else (over != 0) | alone


def _over_nine(word: Words) -> Words:
    """Return words with the high bit set in each byte over 9, and possibly in the bytes after it."""
    over = word + _OVER_NINE
    over |= word
    over &= _HIGH_BITS
    return over


def _first_bytes_equal(word: Words, byte: int) -> Words:
    """Return words with the high bit set in the first byte that equals `byte`, or 0 if none does."""
    differing = word ^ _U(byte * int(_ONES))
    found = differing - _ONES
    found &= ~differing
    found &= _HIGH_BITS
    found &= ~found + _ONE
    return found


def _combine_digits(word: Words) -> Words:
    """Return the integers written by eight digits each, with the first digit in the lowest byte."""
    pairs = word * _TEN
    pairs += word >> _BYTE
    outer = pairs & _U(0x000000FF000000FF)
    outer *= _U(100 + (1_000_000 << 32))
    pairs >>= _U(16)
    pairs &= _U(0x000000FF000000FF)
    pairs *= _U(1 + (10_000 << 32))
    pairs += outer
    pairs >>= _U(32)
    return pairs


def _one_number(cell: bytes, decimal_mark: str) -> float:
    """Return the number in a cell, which may be infinite, or NaN if the cell does not contain a number."""
    text = cell.decode().lower()
    if text.lstrip("+-") in _INFINITIES:
        return float("inf") if not text.startswith("-") else float("-inf")
    if decimal_mark == ",":
        text = text.replace(".", "?").replace(",", ".")
    if not _NUMERIC[np.frombuffer(text.encode(), np.uint8)].all():
        return float("nan")
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _quoted(cell: str) -> str:
    if any(special in cell for special in ',"\n'):
        return '"' + cell.replace('"', '""') + '"'
    return cell
