"""Decodes a census CSV into blocks of whole records in UTF-8.

Accepted are UTF-8 with or without a byte order mark, UTF-16, UTF-32 and Windows-1252, compressed with gzip or not, with
any line ending. Any other file is refused with one problem that says what the file seems to be. A block has about two
megabytes, so the memory used does not depend on the size of the file, even if gzip expands it a thousandfold.
"""

import codecs
import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from jobs.census.problems import Problem, UnreadableText

BLOCK_BYTES = 1 << 21
MAX_RECORD_BYTES = 1 << 20

_SAVE_AS_CSV = "save the table as CSV and upload that"
_SAVE_AS_UTF8 = "save the table as UTF-8 CSV and upload that"
_TAB, _LINE_FEED = 0x09, 0x0A
_FIRST_PRINTABLE = 0x20
_LAST_ASCII = 0x7F
_SIGNATURES = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
    (b"PAR1", "a Parquet file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"%PDF", "a PDF document"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\x1f\x8b", "a gzip file inside a gzip file"),
    (b"Obj\x01", "an Avro file"),
)
_MARKUP = re.compile(rb"\s*(<(?:!doctype|html|\?xml|error|head|body)\b|[{\[]\s*[\"{\[\]}])", re.IGNORECASE)
# Longer marks come first, because the little-endian mark of UTF-32 starts with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f]")
# Accented Latin letters in UTF-8. In Windows-1252 the same bytes are a capital A with an accent and a symbol, which
# hardly any text contains.
_UTF8_LETTER = re.compile(rb"[\xc2\xc3][\x80-\xbf]")


class CensusText:
    """One pass over a census CSV: iterate over its blocks, then read the attributes.

    Each block is UTF-8 without a byte order mark, consists of whole records, ends in a line feed, and contains no
    control characters except tab and line feed.

    Attributes
    ----------
    compression
        ``"gzip"`` or ``None``; known after the first block.
    encoding
        The encoding of the text, such as ``ascii``, ``utf-8``, ``utf-16-le`` or ``cp1252``; final after the last block.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._source = _Digesting(stream)
        self.compression: str | None = None
        self.encoding = "ascii"
        self._utf8_by_mark = False
        self._decoded_here = False

    @property
    def sha256(self) -> str:
        """SHA-256 of the stored bytes, in hexadecimal."""
        return self._source.digest.hexdigest()

    @property
    def size_bytes(self) -> int:
        """Number of stored bytes."""
        return self._source.size

    def __iter__(self) -> Iterator[bytes]:
        """Yield the blocks.

        Raises
        ------
        UnreadableText
            If the bytes are not text or cannot be split into records. The caller adds the row, which is unknown here.
        """
        carry = b""
        for piece in _with_line_feeds(self._pieces()):
            data = carry + piece
            end = _end_of_last_record(data)
            if end:
                yield self._checked(data[:end])
            carry = data[end:]
            if len(carry) > MAX_RECORD_BYTES:
                raise _unending(carry)
        if carry.count(b'"') % 2:
            raise _unending(carry)
        if carry:
            yield self._checked(carry + b"\n")

    def _pieces(self) -> Iterator[bytes]:
        """Yield the bytes uncompressed, and converted to UTF-8 if they are UTF-16 or UTF-32."""
        source = io.BufferedReader(self._source, BLOCK_BYTES)
        if source.peek(2)[:2] == b"\x1f\x8b":
            self.compression = "gzip"
            pieces = _gunzip(source)
        else:
            pieces = iter(lambda: source.read(BLOCK_BYTES), b"")
        first = next(pieces, b"")
        if not first:
            raise UnreadableText(Problem("empty_file", "the file is empty", "upload a CSV with a header and rows"))
        _refuse_what_is_no_text(first)
        encoding = _wide_encoding(first)
        if encoding:
            self.encoding, self._decoded_here = encoding, True
            yield from _decoded(first, pieces, encoding)
            return
        if first.startswith(codecs.BOM_UTF8):
            self.encoding, self._utf8_by_mark = "utf-8", True
        while first.startswith(codecs.BOM_UTF8):  # a file that a program concatenated may have two
            first = first.removeprefix(codecs.BOM_UTF8)
        yield first
        yield from pieces

    def _checked(self, block: bytes) -> bytes:
        """Return a block in UTF-8 after determining its encoding and refusing control characters."""
        _refuse_control_characters(block)
        if block.isascii() or self._decoded_here:
            return block
        try:
            block.decode("utf-8")
            encoding = "utf-8"
        except UnicodeDecodeError as error:
            if self._utf8_by_mark or _UTF8_LETTER.search(block):
                raise _no_one_encoding(block, error.start) from None
            encoding = "cp1252"
        if self.encoding not in ("ascii", encoding):
            raise _no_one_encoding(block, next(i for i, byte in enumerate(block) if byte > _LAST_ASCII))
        self.encoding = encoding
        if encoding == "utf-8":
            return block
        try:
            return block.decode("cp1252").encode()
        except UnicodeDecodeError as error:
            raise _no_one_encoding(block, error.start) from None


class _Digesting(io.RawIOBase):
    """Computes the digest and the size of a stream while it is read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any, /) -> int:
        """Fill the whole target even if the stream returns less per call, because callers inspect the first bytes."""
        filled = 0
        while filled < len(target):
            data = self._stream.read(len(target) - filled)
            if not data:
                break
            target[filled : filled + len(data)] = data
            self.digest.update(data)
            filled += len(data)
        self.size += filled
        return filled


def _gunzip(source: BinaryIO) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=source) as unzipped:
            yield from iter(lambda: unzipped.read(BLOCK_BYTES), b"")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableText(
            Problem("corrupt_gzip", f"the gzip data is broken ({error})", "compress the CSV again and upload that")
        ) from error


def _refuse_what_is_no_text(first: bytes) -> None:
    for signature, what in _SIGNATURES:
        if first.startswith(signature):
            raise UnreadableText(Problem("not_csv", f"the file is {what}", _SAVE_AS_CSV))
    if _MARKUP.match(first.removeprefix(codecs.BOM_UTF8)):
        start = first[:40].decode("utf-8", "replace").strip()
        raise UnreadableText(
            Problem("not_csv", f"the file is a web page, XML or JSON: it starts with {start!r}", _SAVE_AS_CSV)
        )


def _wide_encoding(first: bytes) -> str | None:
    """Return UTF-16 or UTF-32 if a byte order mark or the pattern of zero bytes shows it, otherwise ``None``."""
    for mark, encoding in _MARKS:
        if first.startswith(mark):
            return encoding
    head = first[:256]
    evens, odds = head[0::2], head[1::2]
    if len(head) >= 2 and all(evens) and not any(odds):
        return "utf-16-le"
    if len(head) >= 2 and all(odds) and not any(evens):
        return "utf-16-be"
    return None


def _decoded(first: bytes, pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        yield decoder.decode(first).lstrip("\ufeff").encode()
        for piece in pieces:
            yield decoder.decode(piece).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise UnreadableText(Problem("encoding", f"the text isn't valid {encoding.upper()}", _SAVE_AS_UTF8)) from error


def _with_line_feeds(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Replace every line ending by a line feed, including a CR LF that is split between two pieces."""
    held = b""
    for piece in pieces:
        data = held + piece
        held = b"\r" if data.endswith(b"\r") else b""
        data = data[: len(data) - len(held)]
        yield data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data
    if held:
        yield b"\n"


def _end_of_last_record(data: bytes) -> int:
    """Return the index after the last line feed outside quotation marks; `data` must start with a record."""
    end = data.rfind(b"\n") + 1
    quotes = data.count(b'"', 0, end) if b'"' in data else 0  # searching is ten times faster than counting
    while quotes % 2:
        opening = data.rfind(b'"', 0, end)
        earlier = data.rfind(b"\n", 0, opening) + 1
        quotes -= data.count(b'"', earlier, end)
        end = earlier
    return end


def _unending(carry: bytes) -> UnreadableText:
    if b'"' in carry:
        return UnreadableText(
            Problem(
                "unclosed_quote",
                "a quotation mark is opened and never closed",
                'put the whole cell in quotation marks, and write "" for one inside',
            ),
            records=0,
        )
    return UnreadableText(
        Problem("record_too_long", f"the line is longer than {MAX_RECORD_BYTES:,} bytes", _SAVE_AS_CSV), records=0
    )


def _refuse_control_characters(block: bytes) -> None:
    characters = np.frombuffer(block, np.uint8)
    allowed = np.count_nonzero(characters == _LINE_FEED) + np.count_nonzero(characters == _TAB)
    # Counting is a hundred times faster than the regular expression, which only a faulty file needs.
    if np.count_nonzero(characters < _FIRST_PRINTABLE) == allowed:
        return
    at, code = next((match.start(), match.group()[0]) for match in _CONTROL.finditer(block))
    raise UnreadableText(
        Problem(
            "control_character",
            f"there is a byte {code:#04x}, which no text holds: the file is binary or damaged",
            _SAVE_AS_CSV,
        ),
        records=block.count(b"\n", 0, at),
    )


def _no_one_encoding(block: bytes, at: int) -> UnreadableText:
    return UnreadableText(
        Problem(
            "encoding",
            f"the text is neither UTF-8 nor Windows-1252 throughout (byte {block[at]:#04x})",
            _SAVE_AS_UTF8,
        ),
        records=block.count(b"\n", 0, at),
    )
