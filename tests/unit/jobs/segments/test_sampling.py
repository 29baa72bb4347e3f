"""The sample is the same whatever the order of the rows and the shards."""

import numpy as np
import pytest

from jobs.segments import sampling
from jobs.segments.sampling import Sample, hash_rows

PREPARED = np.random.default_rng(0).random((1000, 5)).astype(np.float32)
COMPONENTS = np.random.default_rng(1).normal(size=(1000, 2)).astype(np.float32)


def sampled(order: np.ndarray, shard: int) -> Sample:
    parts = [order[start : start + shard] for start in range(0, len(order), shard)]
    shards = (Sample.of_shard(PREPARED[part], COMPONENTS[part], total_rows=len(order)) for part in parts)
    return Sample.merge(Sample.from_bytes(each.to_bytes()) for each in shards)


@pytest.mark.parametrize("size", [100, 5000])
def test_neither_order_nor_shards_change_the_sample(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(sampling, "SAMPLE_ROWS", size)
    straight = sampled(np.arange(1000), 1000)
    shuffled = sampled(np.random.default_rng(2).permutation(1000), 77)
    np.testing.assert_array_equal(straight.rows, shuffled.rows)
    assert len(straight.rows) == min(size, 1000)


def test_the_sample_is_even(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample's mean is within three standard errors of the mean of all rows, for every component."""
    monkeypatch.setattr(sampling, "SAMPLE_ROWS", 250)
    mean, error = COMPONENTS.mean(axis=0), COMPONENTS.std(axis=0) / np.sqrt(250)
    assert (np.abs(sampled(np.arange(1000), 100).rows.mean(axis=0) - mean) < 3 * error).all()


def test_a_shard_keeps_few_rows_beyond_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "SAMPLE_ROWS", 100)
    kept = Sample.of_shard(PREPARED, COMPONENTS, total_rows=10_000)
    assert len(kept.rows) < 30  # 1,000 of 10,000 rows: 10 in expectation, 12.5 with the surplus


def test_hashes_differ_wherever_a_value_does() -> None:
    rows = np.repeat(PREPARED[:1], 6, axis=0)
    rows[np.arange(1, 6), np.arange(5)] += 1e-6
    assert len(np.unique(hash_rows(rows))) == 6


def test_numbers_are_spread_as_splitmix64_spreads_its_states() -> None:
    """The expected values are the generator's first three outputs for the seed 1234567.

    Before each output, the generator adds a constant, 2**64 divided by the golden ratio, to its state.
    """
    states = (np.uint64(1234567) + np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    assert sampling.spread(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]
