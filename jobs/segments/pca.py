"""What SageMaker's PCA learned: components, explained variance, and which components to keep."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from jobs.sagemaker.artifacts import ArtifactError, parameters


@dataclass(frozen=True)
class PcaModel:
    """A trained PCA whose components come largest first and have fixed signs.

    SageMaker stores and returns components smallest first, and their signs are arbitrary: another run on the same data
    may mirror any of them. Here the weight that is largest in absolute value is positive in every component, so that
    runs can be compared. `leading_components` brings the response of an endpoint into the same form.

    Attributes
    ----------
    singular_values
        (n,) of the centred data matrix, largest first; not divided by sqrt(rows - 1).
    components
        (features, n); column i is component c_(i+1).
    mean
        (features,) mean of the scaled features.
    signs
        (n,) +1 or -1: the factor by which each of SageMaker's components was multiplied.
    """

    singular_values: np.ndarray
    components: np.ndarray
    mean: np.ndarray
    signs: np.ndarray

    @classmethod
    def from_artifact(cls, artifact: bytes) -> Self:
        """Read the model.tar.gz of a PCA training job.

        Raises
        ------
        ArtifactError
            If the artifact is damaged or belongs to another algorithm.
        """
        arrays = parameters(artifact)
        if not isinstance(arrays, dict) or not {"s", "v", "mean"} <= arrays.keys():
            raise ArtifactError("not a PCA artifact: expected the arrays s, v and mean")
        return cls.from_arrays(arrays["s"], arrays["v"], arrays["mean"])

    @classmethod
    def from_arrays(cls, s: np.ndarray, v: np.ndarray, mean: np.ndarray) -> Self:
        """Build the model from SageMaker's arrays, smallest first: s (n,), v (features, n), mean (1, features)."""
        components = np.asarray(v, dtype=np.float64)[:, ::-1]
        strongest = np.abs(components).argmax(axis=0)
        signs = np.where(components[strongest, np.arange(components.shape[1])] < 0, -1.0, 1.0)
        return cls(
            singular_values=np.asarray(s, dtype=np.float64).ravel()[::-1],
            components=components * signs,
            mean=np.asarray(mean, dtype=np.float64).ravel(),
            signs=signs,
        )

    @property
    def explained_variance_ratio(self) -> np.ndarray:
        """(n,) share (0..1) of the variance that each component explains: its squared singular value over their sum.

        Where nothing varies, the first component explains all of it.
        """
        squared = self.singular_values**2
        total = squared.sum()
        ratio: np.ndarray = squared / total if total > 0 else np.eye(1, len(squared))[0]
        return ratio

    @property
    def cumulative_explained_variance_ratio(self) -> np.ndarray:
        """(n,) share (0..1) of the variance that the first 1, 2, ... n components explain together."""
        return np.cumsum(self.explained_variance_ratio)

    def components_to_keep(self, variance: float) -> int:
        """Return the smallest number of components that explain at least `variance` (0..1] of the data.

        If all of them together explain less, as rounding may have it, all are kept.
        """
        enough = self.cumulative_explained_variance_ratio >= variance - 1e-9
        return int(enough.argmax()) + 1 if enough.any() else len(enough)

    def leading_components(self, projections: np.ndarray, count: int) -> np.ndarray:
        """Keep the `count` largest components of an endpoint's response, with the signs of this model.

        Parameters
        ----------
        projections
            (rows, n) as the PCA endpoint returns them: smallest component first.

        Returns
        -------
        np.ndarray
            (rows, count) float32, largest component first.
        """
        kept = projections[:, ::-1][:, :count] * self.signs[:count]
        return np.ascontiguousarray(kept, dtype=np.float32)

    def inverse_transform(self, points: np.ndarray) -> np.ndarray:
        """Convert points (rows, kept) in component space back to scaled features (rows, features)."""
        features: np.ndarray = points @ self.components[:, : points.shape[1]].T + self.mean
        return features
