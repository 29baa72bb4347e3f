"""An even sample of a run's rows that depends on neither the order of the rows nor their split into shards.

Every row is hashed by its prepared features. The rows with the smallest hashes are the sample, in the order of their
hashes. The components cannot be hashed instead: their last bits depend on the order in which PCA added up the rows.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

SAMPLE_ROWS = 16_384
"""More than a county file has. In a larger file, the centroids of such a sample are close to those of all rows."""

# A shard does not know the hashes of the other shards. It keeps the rows below a threshold that leaves 1.25 times the
# sample in expectation: the probability that fewer remain is below 10^-40 for 4,096 rows, 10^-100 for SAMPLE_ROWS.
_SURPLUS = 1.25

_FNV_OFFSET, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


@dataclass(frozen=True)
class Sample:
    """Sampled rows in the order of their hashes.

    Attributes
    ----------
    hashes
        (n,) uint64, ascending.
    rows
        (n, c) float32, the kept components.
    """

    hashes: np.ndarray
    rows: np.ndarray

    @classmethod
    def of_shard(cls, prepared: np.ndarray, components: np.ndarray, *, total_rows: int) -> Self:
        """Keep the rows of a shard that may belong to the sample.

        Parameters
        ----------
        prepared
            (n, d) float32, the scaled features.
        components
            (n, c) float32, the kept components of the same rows.
        total_rows
            The number of rows of all shards.
        """
        hashes = hash_rows(prepared)
        kept = candidates(hashes, SAMPLE_ROWS, total_rows)
        kept = kept[np.argsort(hashes[kept], kind="stable")]
        return cls(hashes[kept], components[kept])

    @classmethod
    def merge(cls, parts: Iterable["Sample"]) -> Self:
        """Merge the samples of all shards into the sample of the run, at most SAMPLE_ROWS rows."""
        collected = list(parts)
        hashes = np.concatenate([part.hashes for part in collected])
        smallest = np.argsort(hashes, kind="stable")[:SAMPLE_ROWS]
        return cls(hashes[smallest], np.concatenate([part.rows for part in collected])[smallest])

    def to_bytes(self) -> bytes:
        """Pack into an .npz."""
        packed = io.BytesIO()
        np.savez(packed, allow_pickle=False, hashes=self.hashes, rows=self.rows)
        return packed.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Unpack what `to_bytes` packed."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return cls(arrays["hashes"], arrays["rows"])


def hash_rows(rows: np.ndarray) -> np.ndarray:
    """Hash each row's bytes: (n, d) float32 to (n,) uint64.

    FNV-1a over the row's 32-bit words, then the finalizer of splitmix64, which spreads the last words' bits.
    """
    words = np.ascontiguousarray(rows, dtype="<f4").view("<u4")
    hashes = np.full(len(words), _FNV_OFFSET)
    for column in words.T:
        hashes = (hashes ^ column) * _FNV_PRIME
    return spread(hashes)


def candidates(hashes: np.ndarray, sample_rows: int, total_rows: int) -> np.ndarray:
    """Return the positions of the hashes (n,) of a shard that may be among the `sample_rows` smallest of all rows."""
    share = min(1.0, _SURPLUS * sample_rows / max(total_rows, 1))
    return np.flatnonzero(hashes <= np.uint64(share * (2**64 - 2**11)))


def spread(x: np.ndarray) -> np.ndarray:
    """Hash numbers (n,) uint64 with the finalizer of splitmix64, which gives different numbers different hashes."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    hashes: np.ndarray = x ^ (x >> np.uint64(31))
    return hashes
