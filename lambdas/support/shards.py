"""What several handlers read of a run's shards."""

import json

import numpy as np

from contract.layout import RunLayout
from contract.payloads import Shard
from jobs.segments.sampling import Sample
from lambdas.support.storage import Bucket


def read_shards(files: RunLayout, results: Bucket) -> list[Shard]:
    """Return the run's shards, in order."""
    shards: list[Shard] = json.loads(results.read(files.shards))
    return shards


def read_sample(files: RunLayout, results: Bucket) -> np.ndarray:
    """Return the components (n, c) of the even sample of the run's rows; Project wrote a part for each shard."""
    parts = results.read_each(files.sampled_part(shard["part"]) for shard in read_shards(files, results))
    return Sample.merge(Sample.from_bytes(part) for part in parts).rows
