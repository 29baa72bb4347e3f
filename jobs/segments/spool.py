"""Rows that are read several times, kept in a temporary file instead of in memory."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile

import numpy as np

_BLOCK_ROWS = 32_768


@contextmanager
def spooled(shards: Iterable[np.ndarray]) -> Iterator[Callable[[], Iterator[np.ndarray]]]:
    """Write shards (n, c) of float32 rows to a temporary file.

    Yields
    ------
    Callable
        Starts a pass over all rows, in blocks of (n, c).
    """
    with TemporaryFile() as file:
        columns = 0
        for shard in shards:
            columns = shard.shape[1]
            file.write(np.ascontiguousarray(shard, dtype=np.float32).tobytes())

        def blocks() -> Iterator[np.ndarray]:
            file.seek(0)
            while data := file.read(_BLOCK_ROWS * columns * 4):
                yield np.frombuffer(data, dtype=np.float32).reshape(-1, columns)

        yield blocks
