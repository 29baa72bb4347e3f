"""Reads recordIO-protobuf as matrices, at once where all records have the same form."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from jobs.sagemaker.recordio.wire import (
    DELIMITED,
    FEATURES,
    FIXED32,
    FIXED64,
    FLOAT32,
    FLOAT64,
    FLOATS,
    HEAD,
    INT32,
    KEYS,
    LABEL,
    MAGIC,
    SHAPE,
    VALUES,
    VARINT,
    VARINT_MAX_BYTES,
    Array,
    Bytes,
    RecordIOError,
    padded,
)

# Labels that are vectors even if they have one element: with one component, a projection is still n x 1.
_VECTOR_LABELS = frozenset({"projection"})
# A sparse record states its own width. This limit keeps a corrupt one from exhausting the memory.
_MAX_EXPANDED_BYTES = 1 << 31


def decode(data: Bytes) -> Array:
    """Read the feature ``values`` of every record into one matrix.

    Parameters
    ----------
    data
        A complete recordIO file. Records with the same number of floats are read at once. Any other valid protobuf
        encoding (unpacked values, unknown fields, integers, sparse rows with keys) is read record by record.

    Returns
    -------
    ndarray
        n x columns; float32, float64 or int32, depending on the tensor type of the records. Sparse rows are expanded.

    Raises
    ------
    RecordIOError
        If the data is empty, truncated or corrupt, a record has no ``values``, or records differ in width or type.
    """
    return _read(data, [(FEATURES, "values")])[0]


def decode_labels(data: Bytes, *names: str) -> dict[str, Array]:
    """Read labels of every record, such as those in the response of an endpoint.

    Parameters
    ----------
    data
        A complete recordIO file.
    names
        The labels to read; by default, all labels of the first record. The SDK names a training label ``values``.

    Returns
    -------
    dict
        For each name, n values if each record has one value, else n x c; ``projection`` is always n x c.

    Raises
    ------
    RecordIOError
        As for `decode`.
    """
    if not names:
        start, stop, _ = _frame(data, 0)
        names = tuple(name for kind, name in _record(data, start, stop) if kind == LABEL)
    arrays = _read(data, [(LABEL, name) for name in names])
    return {
        name: array[:, 0] if array.shape[1] == 1 and name not in _VECTOR_LABELS else array
        for name, array in zip(names, arrays, strict=True)
    }


@dataclass
class _Tensor:
    """The positions of one tensor's numbers in the data; protobuf may split them into many spans."""

    type: int = 0
    values: list[tuple[int, int]] = field(default_factory=list)
    keys: list[tuple[int, int]] = field(default_factory=list)
    shape: list[tuple[int, int]] = field(default_factory=list)


_Record = dict[tuple[int, str], _Tensor]


def _read(data: Bytes, wanted: list[tuple[int, str]]) -> list[Array]:
    if not len(data):
        raise RecordIOError(0, "no records")
    start, stop, end = _frame(data, 0)
    first = _record(data, start, stop)
    spans = [tensor.values[0] for tensor in first.values() if _is_plain(tensor)]
    if all(key in first and _is_plain(first[key]) for key in wanted) and _repeats(data, end, spans):
        rows = np.frombuffer(data, np.uint8).reshape(-1, end)
        columns = ((first[key].values[0], FLOATS[first[key].type]) for key in wanted)
        return [np.ascontiguousarray(rows[:, a:b]).view(dtype) for (a, b), dtype in columns]
    return _read_each(data, wanted)


def _is_plain(tensor: _Tensor) -> bool:
    """Return whether the tensor is one span of floats, which every record can have at the same position."""
    return (
        tensor.type in FLOATS
        and len(tensor.values) == 1
        and not tensor.keys
        and not tensor.shape
        and (tensor.values[0][1] - tensor.values[0][0]) % FLOATS[tensor.type].itemsize == 0
    )


def _repeats(data: Bytes, size: int, spans: list[tuple[int, int]]) -> bool:
    """Whether the data is frames of `size` bytes that equal the first one outside `spans`."""
    if len(data) % size:
        return False
    # Frames are whole words: comparing words takes two thirds of the time that comparing bytes takes.
    words = np.frombuffer(data, "<u4").reshape(-1, size // 4)
    fixed = np.full(size, 0xFF, np.uint8)
    for start, stop in spans:
        fixed[start:stop] = 0
    masks = fixed.view("<u4")
    whole = np.flatnonzero(masks == 0xFFFFFFFF)
    for run in np.split(whole, np.flatnonzero(np.diff(whole) != 1) + 1):
        if len(run) and not (words[:, run[0] : run[-1] + 1] == words[0, run[0] : run[-1] + 1]).all():
            return False
    partial = np.flatnonzero((masks != 0) & (masks != 0xFFFFFFFF))
    return all((((words[:, at] ^ words[0, at]) & masks[at]) == 0).all() for at in partial)


def _read_each(data: Bytes, wanted: list[tuple[int, str]]) -> list[Array]:
    rows: list[list[Array]] = [[] for _ in wanted]
    expanded = at = number = 0
    while at < len(data):
        start, stop, end = _frame(data, at)
        record = _record(data, start, stop)
        for (kind, name), column in zip(wanted, rows, strict=True):
            tensor = record.get((kind, name))
            if tensor is None or tensor.type not in (*FLOATS, INT32):
                role = "feature" if kind == FEATURES else "label"
                raise RecordIOError(at, f"record {number} has no {role} {name!r} of numbers")
            row = _vector(data, tensor, start)
            if column and (row.shape, row.dtype) != (column[0].shape, column[0].dtype):
                raise RecordIOError(
                    at,
                    f"record {number} holds {row.size} {row.dtype} in {name!r}; "
                    f"the first record holds {column[0].size} {column[0].dtype}",
                )
            expanded += row.nbytes
            if expanded > _MAX_EXPANDED_BYTES:
                raise RecordIOError(at, f"records expand to more than {_MAX_EXPANDED_BYTES} bytes")
            column.append(row)
        at = end
        number += 1
    return [np.stack(column) for column in rows]


def _vector(data: Bytes, tensor: _Tensor, offset: int) -> Array:
    raw = _joined(data, tensor.values)
    values: Array
    if tensor.type == INT32:
        values = _read_varints(raw, offset).astype(np.uint32).view(np.int32)
    else:
        dtype = FLOATS[tensor.type]
        if len(raw) % dtype.itemsize:
            raise RecordIOError(offset, f"{len(raw)} bytes of values are not a multiple of the size of {dtype}")
        values = np.frombuffer(raw, dtype)
    if not tensor.shape:
        if tensor.keys:
            raise RecordIOError(offset, "a sparse tensor has no shape")
        return values
    width = 1
    for extent in _read_varints(_joined(data, tensor.shape), offset):
        width *= int(extent)
    if width * values.itemsize > _MAX_EXPANDED_BYTES:
        raise RecordIOError(offset, f"a tensor has {width} values; at most {_MAX_EXPANDED_BYTES} bytes can be read")
    # The SDK writes a sparse row without non-zero values as a shape only.
    if not tensor.keys and values.size == width and width:
        return values
    keys = _read_varints(_joined(data, tensor.keys), offset)
    if keys.size != values.size:
        raise RecordIOError(offset, f"a sparse tensor of {values.size} values has {keys.size} keys")
    if keys.size and int(keys.max()) >= width:
        raise RecordIOError(offset, f"key {int(keys.max())} is outside the tensor's shape, {width}")
    row = np.zeros(width, values.dtype)
    row[keys.astype(np.int64)] = values
    return row


def _joined(data: Bytes, spans: list[tuple[int, int]]) -> bytes:
    return b"".join(bytes(data[start:stop]) for start, stop in spans)


def _read_varints(raw: bytes, offset: int) -> NDArray[np.uint64]:
    """Read packed varints; `offset` is used only in error messages."""
    octets = np.frombuffer(raw, np.uint8)
    if not octets.size:
        return np.zeros(0, np.uint64)
    if octets[-1] >= 0x80:
        raise RecordIOError(offset, "a packed number is cut off")
    ends = np.flatnonzero(octets < 0x80) + 1
    sizes = np.diff(ends, prepend=0)
    if sizes.max() > VARINT_MAX_BYTES:
        raise RecordIOError(offset, f"a packed number is longer than {VARINT_MAX_BYTES} bytes")
    starts = ends - sizes
    shifts = (np.arange(octets.size) - np.repeat(starts, sizes)).astype(np.uint64) * np.uint64(7)
    septets = (octets & np.uint8(0x7F)).astype(np.uint64) << shifts
    return np.asarray(np.bitwise_or.reduceat(septets, starts), np.uint64)


def _frame(data: Bytes, at: int) -> tuple[int, int, int]:
    """Return where the payload of the frame at `at` starts and stops, and where the next frame starts."""
    if at + HEAD.size > len(data):
        raise RecordIOError(at, f"the frame's head is cut off: {len(data) - at} of {HEAD.size} bytes")
    magic, length = HEAD.unpack_from(data, at)
    if magic != MAGIC:
        raise RecordIOError(at, f"magic number {magic:#010x}; expected {MAGIC:#010x}")
    start = at + HEAD.size
    stop, end = start + length, start + padded(length)
    if end > len(data):
        raise RecordIOError(start, f"the record is cut off: {len(data) - start} of {end - start} bytes")
    if any(data[stop:end]):
        raise RecordIOError(stop, "padding is not zero")
    return start, stop, end


def _record(data: Bytes, start: int, stop: int) -> _Record:
    record: _Record = {}
    for kind, wire, entry_start, entry_stop in _fields(data, start, stop):
        if kind not in (FEATURES, LABEL) or wire != DELIMITED:
            continue
        name, tensor = "", _Tensor()
        for number, inner, a, b in _fields(data, entry_start, entry_stop):
            if number == 1 and inner == DELIMITED:
                name = bytes(data[a:b]).decode("utf-8", "replace")
            elif number == 2 and inner == DELIMITED:
                _merge_value(data, a, b, tensor)
        record[kind, name] = tensor
    return record


def _merge_value(data: Bytes, start: int, stop: int, tensor: _Tensor) -> None:
    for number, wire, a, b in _fields(data, start, stop):
        if wire != DELIMITED:
            continue
        if number != tensor.type:  # in a oneof, the last type in the message is valid
            tensor.type, tensor.values, tensor.keys, tensor.shape = number, [], [], []
        if number not in (*FLOATS, INT32):
            continue
        # Unpacked numbers have the same bytes as packed ones; only the field's tag is repeated before each.
        wires = {FLOAT32: FIXED32, FLOAT64: FIXED64, INT32: VARINT}
        for part, inner, c, d in _fields(data, a, b):
            if part == VALUES and inner in (DELIMITED, wires[number]):
                tensor.values.append((c, d))
            elif part == KEYS and inner in (DELIMITED, VARINT):
                tensor.keys.append((c, d))
            elif part == SHAPE and inner in (DELIMITED, VARINT):
                tensor.shape.append((c, d))


def _fields(data: Bytes, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield the number, the wire type, and the start and stop of the content of each field of a message."""
    at = start
    while at < stop:
        tag, content = _read_varint(data, at, stop)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            _, end = _read_varint(data, content, stop)
        elif wire == FIXED64:
            end = content + 8
        elif wire == FIXED32:
            end = content + 4
        elif wire == DELIMITED:
            length, content = _read_varint(data, content, stop)
            end = content + length
        else:
            raise RecordIOError(at, f"field {number} has wire type {wire}, which SageMaker's records do not use")
        if not number:
            raise RecordIOError(at, "a field has the number 0")
        if end > stop:
            raise RecordIOError(at, f"field {number} ends {end - stop} bytes past its message")
        yield number, wire, content, end
        at = end


def _read_varint(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    value = 0
    for count in range(VARINT_MAX_BYTES):
        if at + count >= stop:
            raise RecordIOError(at, "a number is cut off")
        octet = data[at + count]
        value |= (octet & 0x7F) << (7 * count)
        if octet < 0x80:
            return value, at + count + 1
    raise RecordIOError(at, f"a number is longer than {VARINT_MAX_BYTES} bytes")
