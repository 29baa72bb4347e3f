"""The constants of recordIO's frames and of the protobuf messages in them."""

from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.sagemaker.format_error import FormatError

Array = NDArray[Any]
Bytes = bytes | bytearray | memoryview

MAGIC = 0xCED7230A
HEAD = Struct("<II")

# Fields of Record.
FEATURES, LABEL = 1, 2
# Fields of Value: the tensor types.
FLOAT32, FLOAT64, INT32 = 2, 3, 7
FLOATS: dict[int, np.dtype[Any]] = {FLOAT32: np.dtype("<f4"), FLOAT64: np.dtype("<f8")}
# Fields of a tensor.
VALUES, KEYS, SHAPE = 1, 2, 3
# Protobuf's wire types.
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5

VARINT_MAX_BYTES = 10


class RecordIOError(FormatError):
    """The bytes are not valid recordIO-protobuf."""


def padded(length: int) -> int:
    """Return the number of bytes that a payload of `length` bytes occupies in its frame."""
    return (length + 3) // 4 * 4
