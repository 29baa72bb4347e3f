"""Reads and writes SageMaker's recordIO-protobuf as whole matrices instead of row by row.

Each record has the frame of MXNet's recordIO: the uint32 magic number ``0xCED7230A``, the uint32 length of the
payload, the payload, and zeros up to a multiple of four bytes; all numbers are little-endian. The payload is the
protobuf message that SageMaker's developer guide defines under "Common data formats for training"::

    Record {map<string, Value> features = 1, label = 2; uid = 3; metadata = 4; configuration = 5}
    Value  {oneof {Float32Tensor = 2; Float64Tensor = 3; Int32Tensor = 7; Bytes = 9}}
    Tensor {repeated values = 1; repeated uint64 keys = 2; repeated uint64 shape = 3}, all packed

The records of a matrix of floats differ only in their values, so one frame is built and copied for all rows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from struct import Struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.sagemaker.format_error import FormatError

Array = NDArray[Any]
Bytes = bytes | bytearray | memoryview

_MAGIC = 0xCED7230A
_HEAD = Struct("<II")

# Fields of Record.
_FEATURES, _LABEL = 1, 2
# Fields of Value: the tensor types.
_FLOAT32, _FLOAT64, _INT32 = 2, 3, 7
_FLOATS: dict[int, np.dtype[Any]] = {_FLOAT32: np.dtype("<f4"), _FLOAT64: np.dtype("<f8")}
# Fields of a tensor.
_VALUES, _KEYS, _SHAPE = 1, 2, 3
# Protobuf's wire types.
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5

_VARINT_MAX_BYTES = 10
_INT32_SIGN = 1 << 31

# Labels that are vectors even if they have one element: with one component, a projection is still n x 1.
_VECTOR_LABELS = frozenset({"projection"})
# A sparse record states its own width. This limit keeps a corrupt one from exhausting the memory.
_MAX_EXPANDED_BYTES = 1 << 31


class RecordIOError(FormatError):
    """The bytes are not valid recordIO-protobuf."""


def encode(matrix: Array, labels: Array | None = None) -> bytes:
    """Write one record per row, as the SageMaker SDK 2's ``write_numpy_to_dense_tensor`` does, byte for byte.

    Parameters
    ----------
    matrix
        Rows by columns; float32, float64, or int64/int32 (both become Int32Tensor, as in the SDK).
    labels
        One number per row, of the same types; written as the label ``values``.

    Returns
    -------
    bytes
        Empty if the matrix has no rows.

    Raises
    ------
    ValueError
        If the shape or the type is not supported, or an integer does not fit into 32 bits.
    """
    if matrix.ndim != 2:
        raise ValueError(f"matrix has {matrix.ndim} dimensions; expected rows by columns")
    columns = [_pack(_FEATURES, "values", matrix)]
    if labels is not None:
        if labels.shape != matrix.shape[:1]:
            raise ValueError(f"labels have shape {labels.shape}; expected {matrix.shape[:1]}, one per row")
        columns.append(_pack(_LABEL, "values", labels))
    return _frame_rows(columns, len(matrix))


def encode_labels(labels: Mapping[str, Array]) -> bytes:
    """Write one record per row with labels only, as a SageMaker endpoint responds.

    Parameters
    ----------
    labels
        For each label's name, one value per row (shape n) or one vector per row (n x c); types as in `encode`.

    Returns
    -------
    bytes
        The response of PCA (``projection``) or k-means (``closest_cluster``, ``distance_to_cluster``) to a request with
        ``Accept: application/x-recordio-protobuf``.

    Raises
    ------
    ValueError
        If there is no label, the lengths differ, or a shape or a type is not supported.
    """
    lengths = {name: len(values) for name, values in labels.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"labels must all have the same number of rows; got {lengths}")
    columns = [_pack(_LABEL, name, values) for name, values in labels.items()]
    return _frame_rows(columns, next(iter(lengths.values())))


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
    return _read(data, [(_FEATURES, "values")])[0]


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
        names = tuple(name for kind, name in _record(data, start, stop) if kind == _LABEL)
    arrays = _read(data, [(_LABEL, name) for name in names])
    return {
        name: array[:, 0] if array.shape[1] == 1 and name not in _VECTOR_LABELS else array
        for name, array in zip(names, arrays, strict=True)
    }


def frame_bytes(columns: int, dtype: Any = np.float32) -> int:
    """Return the number of bytes of one row of floats, including the frame and its padding.

    Parameters
    ----------
    columns
        Number of values in the row.
    dtype
        float32 or float64; integers have no fixed size.

    Returns
    -------
    int
        For example, 164 for 34 values of float32.

    Raises
    ------
    ValueError
        If the type is not a float type.
    """
    tensor = _tensor_of(np.dtype(dtype))
    if tensor == _INT32:
        raise ValueError(f"{np.dtype(dtype)} has no fixed frame; expected float32 or float64")
    length = columns * _FLOATS[tensor].itemsize
    payload = len(_entry_prefix(_FEATURES, "values", tensor, length)) + length
    return _HEAD.size + _padded(payload)


# --- writing -----------------------------------------------------------------------------------------------


class _Column(NamedTuple):
    """The same tensor of all records, in protobuf's packed encoding."""

    kind: int
    name: str
    tensor: int
    data: NDArray[np.uint8]  # the bytes of all rows, one after the other
    lengths: NDArray[np.int64]  # number of bytes of each row


def _tensor_of(dtype: np.dtype[Any]) -> int:
    if dtype.kind == "f" and dtype.itemsize in (4, 8):
        return _FLOAT32 if dtype.itemsize == 4 else _FLOAT64
    if dtype.kind == "i" and dtype.itemsize in (4, 8):
        return _INT32
    raise ValueError(f"type is {dtype}; expected float32, float64, int32 or int64")


def _pack(kind: int, name: str, values: Array) -> _Column:
    if values.ndim not in (1, 2):
        raise ValueError(f"{name} has {values.ndim} dimensions; expected one value or one vector per row")
    rows = len(values)
    columns = 1 if values.ndim == 1 else values.shape[1]
    tensor = _tensor_of(values.dtype)
    if tensor != _INT32:
        dtype = _FLOATS[tensor]
        data = np.ascontiguousarray(values, dtype=dtype).reshape(-1).view(np.uint8)
        return _Column(kind, name, tensor, data, np.full(rows, columns * dtype.itemsize, np.int64))
    data, sizes = _write_varints(values.reshape(-1))
    return _Column(kind, name, tensor, data, sizes.reshape(rows, columns).sum(axis=1, dtype=np.int64))


def _write_varints(values: Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if values.size and (values.min() < -_INT32_SIGN or values.max() >= _INT32_SIGN):
        raise ValueError(f"integers from {values.min()} to {values.max()} do not fit into 32 bits")
    # Protobuf sign-extends a negative int32 to 64 bits, so it always takes ten bytes.
    unsigned = values.astype(np.int64).view(np.uint64)
    groups = unsigned[:, None] >> (np.arange(_VARINT_MAX_BYTES, dtype=np.uint64) * np.uint64(7))
    used = groups > 0
    used[:, 0] = True
    septets = (groups & np.uint64(0x7F)).astype(np.uint8)
    septets[:, :-1] |= used[:, 1:].astype(np.uint8) << np.uint8(7)
    sizes: NDArray[np.int64] = used.sum(axis=1, dtype=np.int64)
    return septets[used], sizes


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _delimited(number: int, length: int) -> bytes:
    return _varint(number << 3 | _DELIMITED) + _varint(length)


def _entry_prefix(kind: int, name: str, tensor: int, length: int) -> bytes:
    """Return the part of a map entry before its packed values; the entry ends with these `length` bytes."""
    key = name.encode()
    prefix = _delimited(_VALUES, length) if length else b""
    prefix = _delimited(tensor, len(prefix) + length) + prefix
    prefix = _delimited(1, len(key)) + key + _delimited(2, len(prefix) + length) + prefix
    return _delimited(kind, len(prefix) + length) + prefix


def _padded(length: int) -> int:
    return (length + 3) // 4 * 4


def _frame_rows(columns: list[_Column], rows: int) -> bytes:
    if not rows:
        return b""
    lengths = np.stack([column.lengths for column in columns], axis=1)
    shapes, shape_of_row = _distinct(lengths)
    prefixes = [
        [_entry_prefix(c.kind, c.name, c.tensor, int(n)) for c, n in zip(columns, shape, strict=True)]
        for shape in shapes
    ]
    payloads = [sum(map(len, prefix)) + int(shape.sum()) for prefix, shape in zip(prefixes, shapes, strict=True)]
    sizes = np.array([_HEAD.size + _padded(payload) for payload in payloads])
    starts = np.cumsum(sizes[shape_of_row]) - sizes[shape_of_row]
    total = int(sizes[shape_of_row].sum())

    # BytesIO returns its buffer as bytes without copying it; copying 16 MB would take longer than the framing.
    out = BytesIO()
    out.seek(total - 1)
    out.write(b"\0")
    with out.getbuffer() as buffer:
        whole = np.frombuffer(buffer, np.uint8)
        if len(shapes) == 1:
            _fill(whole.reshape(rows, -1), payloads[0], prefixes[0], [c.data.reshape(rows, -1) for c in columns])
        else:
            firsts = [np.cumsum(c.lengths) - c.lengths for c in columns]
            for index, shape in enumerate(shapes):
                chosen = np.flatnonzero(shape_of_row == index)
                frames = np.zeros((len(chosen), sizes[index]), np.uint8)
                values = [
                    c.data[first[chosen, None] + np.arange(n)]
                    for c, first, n in zip(columns, firsts, shape, strict=True)
                ]
                _fill(frames, payloads[index], prefixes[index], values)
                whole[starts[chosen, None] + np.arange(sizes[index])] = frames
        del whole  # the buffer cannot be released while an array uses it
    return out.getvalue()


def _distinct(lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct rows, and for each row the index of its distinct row."""
    if (lengths == lengths[0]).all():
        return lengths[:1], np.zeros(len(lengths), np.int64)
    shapes, inverse = np.unique(lengths, axis=0, return_inverse=True)
    return shapes, inverse.reshape(-1)  # NumPy 2.0 returns two dimensions


def _fill(frames: NDArray[np.uint8], payload: int, prefixes: list[bytes], values: list[NDArray[np.uint8]]) -> None:
    """Write the head, the prefixes and the values into frames of equal size, which hold zeros."""
    literal = _HEAD.pack(_MAGIC, payload)
    at = 0
    for prefix, packed in zip(prefixes, values, strict=True):
        literal += prefix
        frames[:, at : at + len(literal)] = np.frombuffer(literal, np.uint8)
        at += len(literal)
        frames[:, at : at + packed.shape[1]] = packed
        at += packed.shape[1]
        literal = b""


# --- reading -----------------------------------------------------------------------------------------------


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
        columns = ((first[key].values[0], _FLOATS[first[key].type]) for key in wanted)
        return [np.ascontiguousarray(rows[:, a:b]).view(dtype) for (a, b), dtype in columns]
    return _read_each(data, wanted)


def _is_plain(tensor: _Tensor) -> bool:
    """Return whether the tensor is one span of floats, which every record can have at the same position."""
    return (
        tensor.type in _FLOATS
        and len(tensor.values) == 1
        and not tensor.keys
        and not tensor.shape
        and (tensor.values[0][1] - tensor.values[0][0]) % _FLOATS[tensor.type].itemsize == 0
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
            if tensor is None or tensor.type not in (*_FLOATS, _INT32):
                role = "feature" if kind == _FEATURES else "label"
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
    if tensor.type == _INT32:
        values = _read_varints(raw, offset).astype(np.uint32).view(np.int32)
    else:
        dtype = _FLOATS[tensor.type]
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
    if sizes.max() > _VARINT_MAX_BYTES:
        raise RecordIOError(offset, f"a packed number is longer than {_VARINT_MAX_BYTES} bytes")
    starts = ends - sizes
    shifts = (np.arange(octets.size) - np.repeat(starts, sizes)).astype(np.uint64) * np.uint64(7)
    septets = (octets & np.uint8(0x7F)).astype(np.uint64) << shifts
    return np.asarray(np.bitwise_or.reduceat(septets, starts), np.uint64)


def _frame(data: Bytes, at: int) -> tuple[int, int, int]:
    """Return where the payload of the frame at `at` starts and stops, and where the next frame starts."""
    if at + _HEAD.size > len(data):
        raise RecordIOError(at, f"the frame's head is cut off: {len(data) - at} of {_HEAD.size} bytes")
    magic, length = _HEAD.unpack_from(data, at)
    if magic != _MAGIC:
        raise RecordIOError(at, f"magic number {magic:#010x}; expected {_MAGIC:#010x}")
    start = at + _HEAD.size
    stop, end = start + length, start + _padded(length)
    if end > len(data):
        raise RecordIOError(start, f"the record is cut off: {len(data) - start} of {end - start} bytes")
    if any(data[stop:end]):
        raise RecordIOError(stop, "padding is not zero")
    return start, stop, end


def _record(data: Bytes, start: int, stop: int) -> _Record:
    record: _Record = {}
    for kind, wire, entry_start, entry_stop in _fields(data, start, stop):
        if kind not in (_FEATURES, _LABEL) or wire != _DELIMITED:
            continue
        name, tensor = "", _Tensor()
        for number, inner, a, b in _fields(data, entry_start, entry_stop):
            if number == 1 and inner == _DELIMITED:
                name = bytes(data[a:b]).decode("utf-8", "replace")
            elif number == 2 and inner == _DELIMITED:
                _merge_value(data, a, b, tensor)
        record[kind, name] = tensor
    return record


def _merge_value(data: Bytes, start: int, stop: int, tensor: _Tensor) -> None:
    for number, wire, a, b in _fields(data, start, stop):
        if wire != _DELIMITED:
            continue
        if number != tensor.type:  # in a oneof, the last type in the message is valid
            tensor.type, tensor.values, tensor.keys, tensor.shape = number, [], [], []
        if number not in (*_FLOATS, _INT32):
            continue
        # Unpacked numbers have the same bytes as packed ones; only the field's tag is repeated before each.
        wires = {_FLOAT32: _FIXED32, _FLOAT64: _FIXED64, _INT32: _VARINT}
        for part, inner, c, d in _fields(data, a, b):
            if part == _VALUES and inner in (_DELIMITED, wires[number]):
                tensor.values.append((c, d))
            elif part == _KEYS and inner in (_DELIMITED, _VARINT):
                tensor.keys.append((c, d))
            elif part == _SHAPE and inner in (_DELIMITED, _VARINT):
                tensor.shape.append((c, d))


def _fields(data: Bytes, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield the number, the wire type, and the start and stop of the content of each field of a message."""
    at = start
    while at < stop:
        tag, content = _read_varint(data, at, stop)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            _, end = _read_varint(data, content, stop)
        elif wire == _FIXED64:
            end = content + 8
        elif wire == _FIXED32:
            end = content + 4
        elif wire == _DELIMITED:
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
    for count in range(_VARINT_MAX_BYTES):
        if at + count >= stop:
            raise RecordIOError(at, "a number is cut off")
        octet = data[at + count]
        value |= (octet & 0x7F) << (7 * count)
        if octet < 0x80:
            return value, at + count + 1
    raise RecordIOError(at, f"a number is longer than {_VARINT_MAX_BYTES} bytes")
