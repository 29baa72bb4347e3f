"""Applies a trained model to rows as SageMaker's endpoints do, without an endpoint.

Inference in a function, ``mode: apply`` and the previous model's view all use these functions. They follow the
built-in containers operation by operation: float32 rows, the projection summed in float64 and returned as float32,
distances in float32. On the same machine, the same shard and the same artifact therefore give the same bits as the
endpoint's response.
"""

import io
import json
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from jobs.segments.kmeans import centroids_from_artifact
from jobs.segments.pca import PcaModel
from jobs.segments.scaling import Scaling

__all__ = ["Assignment", "SegmentModel", "nearest_centroids", "project"]


def project(pca: PcaModel, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
    """Project rows onto all components, smallest component first, as the PCA endpoint responds.

    Parameters
    ----------
    scaled
        (rows, features) in the scale that the PCA was trained on.

    Returns
    -------
    NDArray[np.float32]
        (rows, n). `PcaModel.leading_components` keeps the largest components of it.
    """
    # The artifact's own columns in their own order: another order could change the last bit of a sum.
    vectors = np.ascontiguousarray((pca.components * pca.signs)[:, ::-1])
    projections: NDArray[np.float32] = (scaled @ vectors - pca.mean[None, :] @ vectors).astype(np.float32)
    return projections


def nearest_centroids(
    components: NDArray[np.float32], centroids: NDArray[np.floating]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Find each row's nearest centroid, as the k-means endpoint responds.

    Parameters
    ----------
    components
        (rows, c), largest component first.
    centroids
        (k, c).

    Returns
    -------
    tuple
        (rows,) index of the nearest centroid, and (rows,) Euclidean distance to it.
    """
    centers = np.ascontiguousarray(centroids, dtype=np.float32)
    # The row's own square is the same for every centroid, so it does not change which is the nearest.
    scores = components @ (-2 * centers.T)
    scores += np.einsum("ij,ij->i", centers, centers)
    nearest = scores.argmin(axis=1)
    # The distance is taken from the difference: the short formula loses digits near a centroid.
    difference = components - centers[nearest]
    return nearest, np.sqrt(np.einsum("ij,ij->i", difference, difference))


@dataclass(frozen=True)
class Assignment:
    """Rows as a model labels them.

    Attributes
    ----------
    components
        (rows, c) float32, largest first.
    labels
        (rows,) index of the nearest centroid.
    distances
        (rows,) float32, Euclidean distance to it.
    """

    components: NDArray[np.float32]
    labels: NDArray[np.intp]
    distances: NDArray[np.float32]


@dataclass(frozen=True)
class SegmentModel:
    """Everything that a run learned: its scaler, its PCA, and its centroids (k, c)."""

    scaling: Scaling
    pca: PcaModel
    centroids: NDArray[np.float64]

    @property
    def centroid_features(self) -> NDArray[np.float64]:
        """(k, features) centroids mapped back through PCA and scaling to original units."""
        features: NDArray[np.float64] = self.scaling.inverse_transform(self.pca.inverse_transform(self.centroids))
        return features

    def rescale(self, scaled: NDArray[np.float32], source: Scaling) -> NDArray[np.float32]:
        """Bring rows from another run's scale into this model's.

        Parameters
        ----------
        scaled
            (rows, d) in the scale of `source`.
        source
            The scaling of the run that the rows belong to.

        Returns
        -------
        NDArray[np.float32]
            (rows, features of this model). Values beyond the range that the model was trained on lie outside 0..1.
            A feature with the same range in both comes back unchanged to the last bit.

        Raises
        ------
        KeyError
            A feature of this model is missing in `source`.
        """
        order = source.positions(self.scaling.features)
        # One affine step instead of a way through original units: with equal ranges it multiplies by 1 and adds 0.
        gain = source.range[order] / self.scaling.range
        shift = (source.minimum[order] - self.scaling.minimum) / self.scaling.range
        rescaled: NDArray[np.float32] = (scaled[:, order] * gain + shift).astype(np.float32)
        return rescaled

    def label(self, scaled: NDArray[np.float32]) -> Assignment:
        """Project rows (rows, features) in this model's scale and assign each to its nearest centroid."""
        components = self.pca.leading_components(project(self.pca, scaled), self.centroids.shape[1])
        labels, distances = nearest_centroids(components, self.centroids)
        return Assignment(components, labels, distances)

    def to_bytes(self) -> bytes:
        """Pack what `label` and `rescale` need into an .npz, without loss."""
        packed = io.BytesIO()
        np.savez(
            packed,
            allow_pickle=False,
            features=np.frombuffer(json.dumps(self.scaling.features).encode(), dtype=np.uint8),
            minimum=self.scaling.minimum,
            maximum=self.scaling.maximum,
            singular_values=self.pca.singular_values,
            components=self.pca.components,
            mean=self.pca.mean,
            signs=self.pca.signs,
            centroids=self.centroids,
        )
        return packed.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Unpack what `to_bytes` packed; the counts of the scaling are 0."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            features = tuple(json.loads(arrays["features"].tobytes()))
            scaling = Scaling(features, arrays["minimum"], arrays["maximum"], 0, 0, 0)
            pca = PcaModel(*(arrays[name] for name in ("singular_values", "components", "mean", "signs")))
            return cls(scaling, pca, arrays["centroids"])

    @classmethod
    def of(cls, scaler: bytes, pca_artifact: bytes, kmeans_artifact: bytes) -> Self:
        """Read a run's scaler.json and both model.tar.gz.

        Raises
        ------
        ArtifactError
            An artifact is another algorithm's, or broken.
        """
        return cls(
            Scaling.from_json(scaler), PcaModel.from_artifact(pca_artifact), centroids_from_artifact(kmeans_artifact)
        )
