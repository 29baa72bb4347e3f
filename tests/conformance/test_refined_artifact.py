"""The refined k-means artifact, read by MXNet as the built-in image reads it."""

import io
import tarfile
from pathlib import Path

import mxnet as mx
import numpy as np

from jobs.segments.kmeans import artifact_of, centroids_from_artifact

CENTROIDS = np.random.default_rng(0).normal(size=(8, 7))


def test_mxnet_reads_one_unnamed_array_of_the_centroids(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(artifact_of(CENTROIDS)), mode="r:gz") as tar:
        tar.extractall(tmp_path, filter="data")
    (read,) = mx.nd.load(str(tmp_path / "model_algo-1"))
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read.asnumpy(), CENTROIDS.astype(np.float32))


def test_the_artifact_is_the_same_each_time_and_reads_back() -> None:
    assert artifact_of(CENTROIDS) == artifact_of(CENTROIDS)
    np.testing.assert_array_equal(centroids_from_artifact(artifact_of(CENTROIDS)), CENTROIDS.astype(np.float32))
