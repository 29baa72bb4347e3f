"""What SageMaker's PCA learned: components, explained variance, and which components to keep."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from jobs.sagemaker.artifacts import ArtifactError, parameters


@dataclass(frozen=True)
class PcaModel:
    """A trained PCA, its components turned around: largest first, and with fixed signs.

    SageMaker stores and answers components smallest first, and their signs are arbitrary: another run on
    the same data may mirror any of them. Here the weight that is largest in absolute value is positive in
    every component, so that runs compare. `largest` brings an endpoint's answer into the same form.

    Attributes
    ----------
    singular_values
        (n,) of the centred data matrix, largest first; not divided by sqrt(rows - 1).
    components
        (features, n), column i is component c_(i+1).
    mean
        (features,) mean of the scaled features.
    signs
        (n,) +1 or -1: what each of SageMaker's components was multiplied by.
    """

    singular_values: np.ndarray
    components: np.ndarray
    mean: np.ndarray
    signs: np.ndarray

    @classmethod
    def from_artifact(cls, artifact: bytes) -> Self:
        """Read a PCA training job's model.tar.gz: `s` and the columns of `v` ascending, `mean` 1 x features.

        Raises
        ------
        ArtifactError
            The artifact is another algorithm's, or broken.
        """
        arrays = parameters(artifact)
        if not isinstance(arrays, dict) or not {"s", "v", "mean"} <= arrays.keys():
            raise ArtifactError("not a PCA artifact: expected the arrays s, v and mean")
        return cls.from_arrays(arrays["s"], arrays["v"], arrays["mean"])

    @classmethod
    def from_arrays(cls, s: np.ndarray, v: np.ndarray, mean: np.ndarray) -> Self:
        """Turn SageMaker's arrays (ascending) around: s (n,), v (features, n), mean (1, features)."""
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
    def explained_variance(self) -> np.ndarray:
        """Cumulative share (0..1) of the variance kept by the first 1, 2, ... n components.

        The notebook's formula: the sum of the squared singular values kept over the sum of all.
        """
        squared = self.singular_values**2
        total = squared.sum()
        return np.cumsum(squared) / total if total > 0 else np.ones_like(squared)

    def components_to_keep(self, variance: float) -> int:
        """Smallest number of components that explains at least `variance` (0..1] of the data.

        Never more than there are: with fewer components than features even all of them may fall short.
        """
        enough = self.explained_variance >= variance - 1e-9
        return int(enough.argmax()) + 1 if enough.any() else len(enough)

    def largest(self, projections: np.ndarray, count: int) -> np.ndarray:
        """Keep the `count` largest components of an endpoint's answer, largest first, signs fixed.

        Parameters
        ----------
        projections
            (rows, n) as the PCA endpoint answers: smallest component first.

        Returns
        -------
        np.ndarray
            (rows, count) float32.
        """
        turned = projections[:, ::-1][:, :count] * self.signs[:count]
        return np.ascontiguousarray(turned, dtype=np.float32)

    def features_at(self, points: np.ndarray) -> np.ndarray:
        """Map points (rows, kept) in component space back to scaled features (rows, features)."""
        features: np.ndarray = points @ self.components[:, : points.shape[1]].T + self.mean
        return features
