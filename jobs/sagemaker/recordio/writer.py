"""Writes matrices as recordIO-protobuf.

The records of a matrix of floats differ only in their values, so one frame is built and copied for all rows.
"""

from collections.abc import Mapping
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.sagemaker.recordio.wire import (
    DELIMITED,
    FEATURES,
    FLOAT32,
    FLOAT64,
    FLOATS,
    HEAD,
    INT32,
    LABEL,
    MAGIC,
    VALUES,
    VARINT_MAX_BYTES,
    Array,
    padded,
)

_INT32_SIGN = 1 << 31


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
    columns = [_pack(FEATURES, "values", matrix)]
    if labels is not None:
        if labels.shape != matrix.shape[:1]:
            raise ValueError(f"labels have shape {labels.shape}; expected {matrix.shape[:1]}, one per row")
        columns.append(_pack(LABEL, "values", labels))
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
    columns = [_pack(LABEL, name, values) for name, values in labels.items()]
    return _frame_rows(columns, next(iter(lengths.values())))


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
    if tensor == INT32:
        raise ValueError(f"{np.dtype(dtype)} has no fixed frame; expected float32 or float64")
    length = columns * FLOATS[tensor].itemsize
    payload = len(_entry_prefix(FEATURES, "values", tensor, length)) + length
    return HEAD.size + padded(payload)


class _Column(NamedTuple):
    """The same tensor of all records, in protobuf's packed encoding."""

    kind: int
    name: str
    tensor: int
    data: NDArray[np.uint8]  # the bytes of all rows, one after the other
    lengths: NDArray[np.int64]  # number of bytes of each row


def _tensor_of(dtype: np.dtype[Any]) -> int:
    if dtype.kind == "f" and dtype.itemsize in (4, 8):
        return FLOAT32 if dtype.itemsize == 4 else FLOAT64
    if dtype.kind == "i" and dtype.itemsize in (4, 8):
        return INT32
    raise ValueError(f"type is {dtype}; expected float32, float64, int32 or int64")


def _pack(kind: int, name: str, values: Array) -> _Column:
    if values.ndim not in (1, 2):
        raise ValueError(f"{name} has {values.ndim} dimensions; expected one value or one vector per row")
    rows = len(values)
    columns = 1 if values.ndim == 1 else values.shape[1]
    tensor = _tensor_of(values.dtype)
    if tensor != INT32:
        dtype = FLOATS[tensor]
        data = np.ascontiguousarray(values, dtype=dtype).reshape(-1).view(np.uint8)
        return _Column(kind, name, tensor, data, np.full(rows, columns * dtype.itemsize, np.int64))
    data, sizes = _write_varints(values.reshape(-1))
    return _Column(kind, name, tensor, data, sizes.reshape(rows, columns).sum(axis=1, dtype=np.int64))


def _write_varints(values: Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if values.size and (values.min() < -_INT32_SIGN or values.max() >= _INT32_SIGN):
        raise ValueError(f"integers from {values.min()} to {values.max()} do not fit into 32 bits")
    # Protobuf sign-extends a negative int32 to 64 bits, so it always takes ten bytes.
    unsigned = values.astype(np.int64).view(np.uint64)
    groups = unsigned[:, None] >> (np.arange(VARINT_MAX_BYTES, dtype=np.uint64) * np.uint64(7))
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
    return _varint(number << 3 | DELIMITED) + _varint(length)


def _entry_prefix(kind: int, name: str, tensor: int, length: int) -> bytes:
    """Return the part of a map entry before its packed values; the entry ends with these `length` bytes."""
    key = name.encode()
    prefix = _delimited(VALUES, length) if length else b""
    prefix = _delimited(tensor, len(prefix) + length) + prefix
    prefix = _delimited(1, len(key)) + key + _delimited(2, len(prefix) + length) + prefix
    return _delimited(kind, len(prefix) + length) + prefix


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
    sizes = np.array([HEAD.size + padded(payload) for payload in payloads])
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
    literal = HEAD.pack(MAGIC, payload)
    at = 0
    for prefix, packed in zip(prefixes, values, strict=True):
        literal += prefix
        frames[:, at : at + len(literal)] = np.frombuffer(literal, np.uint8)
        at += len(literal)
        frames[:, at : at + packed.shape[1]] = packed
        at += packed.shape[1]
        literal = b""
