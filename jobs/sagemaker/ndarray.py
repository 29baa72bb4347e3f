"""Reads and writes MXNet's NDArray list files, the format of ``model_algo-1`` in SageMaker's PCA and k-means models.

All numbers are little-endian (mxnet 1.9.1, ``src/ndarray/ndarray.cc``)::

    file     u64 0x112, u64 0, u64 number of arrays, arrays, u64 number of names, names
    name     u64 length, UTF-8; a list has no names, a dict has one per array
    array    u32 0xF993FAC9, i32 storage type, shape, context, i32 type, values   (version 2, the current one)
             u32 0xF993FAC8, shape, context, i32 type, values                     (version 1)
             u32 dimensions, u32 each, context, i32 type, values                  (before versions)
    shape    u32 dimensions, i64 each
    context  i32 device type (1: CPU), i32 device number
"""

import math
from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.sagemaker.format_error import FormatError

Array = NDArray[Any]

BFLOAT16 = np.dtype([("bfloat16", "<u2")])
"""The NumPy type that MXNet uses for bfloat16, which NumPy does not have: the upper half of a float32."""

_LIST_MAGIC = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_DENSE = 0
_CPU = 1

_TYPES: dict[int, np.dtype[Any]] = {
    0: np.dtype("<f4"),
    1: np.dtype("<f8"),
    2: np.dtype("<f2"),
    3: np.dtype("u1"),
    4: np.dtype("<i4"),
    5: np.dtype("i1"),
    6: np.dtype("<i8"),
    7: np.dtype("?"),
    12: BFLOAT16,
}
_NUMBERS = {dtype: number for number, dtype in _TYPES.items()}
_MAX_DIMENSIONS = 32  # the limit of NumPy 1
_SPARSE = {1: "row_sparse", 2: "csr"}

_U32, _I32, _U64, _CONTEXT = Struct("<I"), Struct("<i"), Struct("<Q"), Struct("<ii")


class NDArrayError(FormatError):
    """The bytes are not an NDArray list file that can be read."""


def load(data: bytes) -> dict[str, Array] | list[Array]:
    """Read an NDArray list file, as ``mx.nd.load`` does.

    Parameters
    ----------
    data
        The content of the file.

    Returns
    -------
    dict or list
        The arrays by name, or in order if the file has no names. They are read-only views of `data`.

    Raises
    ------
    NDArrayError
        If the file is truncated or corrupt, has bytes after its end, or contains what is not supported: sparse arrays,
        arrays without dimensions, and version 3, which MXNet itself reads only with ``np_shape``.
    """
    reader = _Reader(data)
    magic = reader.number(_U64, "the file's magic number")
    if magic != _LIST_MAGIC:
        raise NDArrayError(0, f"magic number {magic:#x}; expected {_LIST_MAGIC:#x}")
    reader.number(_U64, "the reserved word")
    # Nothing is allocated by these counts, so reading ends at the end of the file even if a count is corrupt.
    arrays = [reader.array() for _ in range(reader.number(_U64, "the number of arrays"))]
    at = reader.at
    count = reader.number(_U64, "the number of names")
    if count not in (0, len(arrays)):
        raise NDArrayError(at, f"{count} names for {len(arrays)} arrays")
    names = [reader.name() for _ in range(count)]
    if reader.at != len(data):
        raise NDArrayError(reader.at, f"{len(data) - reader.at} bytes follow the end of the list")
    return dict(zip(names, arrays, strict=True)) if names else arrays


def save(arrays: Mapping[str, Array] | Sequence[Array]) -> bytes:
    """Write an NDArray list file, as ``mx.nd.save`` does, byte for byte.

    Parameters
    ----------
    arrays
        By name, or in order. Each has at least one dimension, and its type is bool, float16, float32, float64, uint8,
        int8, int32, int64 or `BFLOAT16`.

    Returns
    -------
    bytes
        A file of version 2, with device CPU 0.

    Raises
    ------
    ValueError
        If an array has no dimension or a type that MXNet does not have.
    """
    names = list(arrays) if isinstance(arrays, Mapping) else []
    values = list(arrays.values()) if isinstance(arrays, Mapping) else list(arrays)
    parts = [_U64.pack(_LIST_MAGIC), _U64.pack(0), _U64.pack(len(values))]
    for index, array in enumerate(values):
        parts += _array_parts(array, names[index] if names else f"array {index}")
    parts.append(_U64.pack(len(names)))
    for name in names:
        encoded = name.encode()
        parts += [_U64.pack(len(encoded)), encoded]
    return b"".join(parts)


def _array_parts(array: Array, name: str) -> list[bytes]:
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _NUMBERS:
        raise ValueError(f"{name} has type {array.dtype}; expected one of {', '.join(map(str, _NUMBERS))}")
    if not array.ndim:
        raise ValueError(f"{name} has no dimension; MXNet cannot read such an array: use shape (1,)")
    return [
        _U32.pack(_V2),
        _I32.pack(_DENSE),
        _U32.pack(array.ndim),
        np.array(array.shape, "<i8").tobytes(),
        _CONTEXT.pack(_CPU, 0),
        _I32.pack(_NUMBERS[dtype]),
        array.astype(dtype, copy=False).tobytes(),
    ]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int, what: str) -> int:
        """Advance by `size` bytes and return the position of the first."""
        start = self.at
        if start + size > len(self.data):
            raise NDArrayError(start, f"{what} is cut off: {len(self.data) - start} of {size} bytes")
        self.at = start + size
        return start

    def number(self, struct: Struct, what: str) -> int:
        value: int = struct.unpack_from(self.data, self.take(struct.size, what))[0]
        return value

    def name(self) -> str:
        length = self.number(_U64, "a name's length")
        start = self.take(length, "a name")
        try:
            return bytes(self.data[start : self.at]).decode()
        except UnicodeDecodeError as error:
            raise NDArrayError(start + error.start, "a name is not UTF-8") from error

    def array(self) -> Array:
        start = self.at
        magic = self.number(_U32, "an array's magic number")
        if magic == _V3:
            raise NDArrayError(start, "an array of version 3, saved under np_shape; expected version 1 or 2")
        if magic == _V2:
            storage = self.number(_I32, "an array's storage type")
            if storage != _DENSE:
                raise NDArrayError(start + 4, f"storage type {_SPARSE.get(storage, storage)}; expected dense")
        shape = self.shape(legacy_dimensions=None if magic in (_V1, _V2) else magic)
        self.take(_CONTEXT.size, "an array's context")
        at = self.at
        number = self.number(_I32, "an array's type")
        if number not in _TYPES:
            raise NDArrayError(at, f"type {number}; expected one of {', '.join(map(str, _TYPES))}")
        dtype = _TYPES[number]
        size = math.prod(shape)
        values = self.take(size * dtype.itemsize, f"an array of {size} {dtype}")
        try:
            return np.frombuffer(self.data, dtype, size, values).reshape(shape)
        except ValueError as error:  # an empty array with a dimension that is too large for NumPy
            raise NDArrayError(start, f"shape {shape} is too large for NumPy") from error

    def shape(self, legacy_dimensions: int | None) -> tuple[int, ...]:
        start = self.at
        extent: np.dtype[Any] = np.dtype("<i8")
        if legacy_dimensions is None:
            dimensions = self.number(_U32, "an array's number of dimensions")
        else:
            dimensions, extent, start = legacy_dimensions, np.dtype("<u4"), start - _U32.size
        if not 0 < dimensions <= _MAX_DIMENSIONS:
            raise NDArrayError(start, f"{dimensions} dimensions; expected 1 to {_MAX_DIMENSIONS}")
        at = self.take(dimensions * extent.itemsize, "an array's shape")
        shape = tuple(np.frombuffer(self.data, extent, dimensions, at).tolist())
        if min(shape) < 0:
            raise NDArrayError(at, f"shape {shape} has a negative extent")
        return shape
