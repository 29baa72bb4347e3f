"""PCA's artifact, read and turned around."""

import io
import tarfile

import numpy as np
import pytest

from jobs.sagemaker.artifacts import ArtifactError
from jobs.sagemaker.ndarray import save
from jobs.segments.pca import PcaModel


def artifact(content: bytes, name: str = "model_algo-1") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def trained() -> dict[str, np.ndarray]:
    """Arrays as SageMaker writes them: ascending, with one component mirrored."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 4)) * [1, 2, 4, 8]
    mean = rows.mean(axis=0)
    _, s, vt = np.linalg.svd(rows - mean, full_matrices=False)
    return {"s": s[::-1], "v": vt[::-1].T, "mean": mean[None, :]}


class TestReading:
    def test_singular_values_come_largest_first(self, trained: dict[str, np.ndarray]) -> None:
        model = PcaModel.from_artifact(artifact(save(trained)))
        assert (np.diff(model.singular_values) < 0).all()

    def test_components_follow_the_singular_values(self, trained: dict[str, np.ndarray]) -> None:
        model = PcaModel.from_artifact(artifact(save(trained)))
        assert np.abs(model.components[:, 0]).argmax() == 3  # the widest feature makes the first component
        assert model.components.shape == (4, 4)
        assert model.mean.shape == (4,)

    def test_the_largest_weight_of_every_component_is_positive(self, trained: dict[str, np.ndarray]) -> None:
        model = PcaModel.from_artifact(artifact(save(trained)))
        strongest = np.abs(model.components).argmax(axis=0)
        assert (model.components[strongest, range(4)] > 0).all()

    def test_mirrored_components_make_the_same_model(self, trained: dict[str, np.ndarray]) -> None:
        mirrored = {**trained, "v": trained["v"] * [1, -1, -1, 1]}
        one, other = (PcaModel.from_artifact(artifact(save(arrays))) for arrays in (trained, mirrored))
        np.testing.assert_allclose(one.components, other.components)
        np.testing.assert_array_equal(one.signs * other.signs, [1, -1, -1, 1])

    def test_another_algorithms_artifact_is_refused(self) -> None:
        with pytest.raises(ArtifactError, match="expected the arrays s, v and mean"):
            PcaModel.from_artifact(artifact(save([np.ones((8, 7))])))

    def test_an_artifact_without_parameters_is_refused(self, trained: dict[str, np.ndarray]) -> None:
        with pytest.raises(ArtifactError, match="does not contain model_algo-1"):
            PcaModel.from_artifact(artifact(save(trained), name="state_1"))

    def test_what_is_no_tar_is_refused(self) -> None:
        with pytest.raises(ArtifactError, match="not a gzipped tar"):
            PcaModel.from_artifact(b"PK\x03\x04")


class TestVariance:
    MODEL = PcaModel.from_arrays(np.array([1.0, 2.0, 4.0]), np.eye(3), np.zeros((1, 3)))

    def test_explained_variance_is_cumulative_and_ends_at_all(self) -> None:
        np.testing.assert_allclose(self.MODEL.cumulative_explained_variance_ratio, [16 / 21, 20 / 21, 1])

    @pytest.mark.parametrize(("wanted", "kept"), [(0.5, 1), (16 / 21, 1), (0.77, 2), (0.96, 3), (1.0, 3)])
    def test_the_fewest_components_that_explain_enough_are_kept(self, wanted: float, kept: int) -> None:
        assert self.MODEL.components_to_keep(wanted) == kept

    def test_data_without_variance_needs_one_component(self) -> None:
        flat = PcaModel.from_arrays(np.zeros(2), np.eye(2), np.zeros((1, 2)))
        assert flat.components_to_keep(0.8) == 1


class TestProjections:
    def test_an_answer_is_turned_around_cut_and_signed(self, trained: dict[str, np.ndarray]) -> None:
        model = PcaModel.from_artifact(artifact(save(trained)))
        rows = np.random.default_rng(1).normal(size=(5, 4))
        answered = (rows - trained["mean"]) @ trained["v"]  # smallest component first, SageMaker's signs
        kept = model.leading_components(answered, 2)
        assert kept.dtype == np.float32
        np.testing.assert_allclose(kept, (rows - model.mean) @ model.components[:, :2], rtol=1e-5)

    def test_all_components_map_back_to_the_features(self, trained: dict[str, np.ndarray]) -> None:
        model = PcaModel.from_artifact(artifact(save(trained)))
        rows = np.random.default_rng(2).normal(size=(5, 4))
        np.testing.assert_allclose(model.inverse_transform((rows - model.mean) @ model.components), rows)
