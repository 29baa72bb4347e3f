"""A trained model applied without an endpoint."""

import json

import numpy as np
import pytest

from embedded_aws.sagemaker.inference import load_model
from jobs.sagemaker.ndarray import save
from jobs.segments.assign import SegmentModel, nearest_centroids, project
from jobs.segments.pca import PcaModel
from jobs.segments.scaling import Scaling
from tests.unit.jobs.segments.test_pca import artifact

ROWS, FEATURES, KEPT, CLUSTERS = 997, 33, 7, 8


def scaler(minimum: list[float], maximum: list[float], features: list[str]) -> bytes:
    rows = {"read": ROWS, "dropped": 0, "kept": ROWS}
    left_out: dict[str, list[str]] = {"dropped_regions": [], "constant_features": []}
    document = {"features": features, "minimum": minimum, "maximum": maximum, "rows": rows}
    return json.dumps(document | left_out).encode()


NAMES = [f"Feature{number}" for number in range(FEATURES)]
RNG = np.random.default_rng(3)
SCALED = RNG.uniform(size=(ROWS, FEATURES)).astype(np.float32)
MINIMUM, MAXIMUM = RNG.uniform(0, 9, FEATURES).tolist(), RNG.uniform(10, 90_000, FEATURES).tolist()


@pytest.fixture(scope="module")
def artifacts() -> tuple[bytes, bytes]:
    """Artifacts of both stages, as the containers write them: float32, smallest component first."""
    mean = SCALED.mean(axis=0)
    _, s, vt = np.linalg.svd(SCALED - mean, full_matrices=False)
    ascending = {"s": s[1:][::-1], "v": vt[1:][::-1].T, "mean": mean[None, :]}
    pca = artifact(save({name: np.ascontiguousarray(array, np.float32) for name, array in ascending.items()}))
    model = PcaModel.from_artifact(pca)
    components = model.leading_components(project(model, SCALED), KEPT)
    return pca, artifact(save([components[:CLUSTERS]]))


@pytest.fixture(scope="module")
def model(artifacts: tuple[bytes, bytes]) -> SegmentModel:
    return SegmentModel.of(scaler(MINIMUM, MAXIMUM, NAMES), *artifacts)


class TestAsTheEndpoints:
    def test_projections_equal_the_pca_endpoints_bit_for_bit(
        self, artifacts: tuple[bytes, bytes], model: SegmentModel
    ) -> None:
        served = load_model("pca", artifacts[0]).predict(SCALED)["projection"]
        projected = project(model.pca, SCALED)
        assert projected.dtype == np.float32
        np.testing.assert_array_equal(projected, served)

    def test_labels_and_distances_equal_the_kmeans_endpoints_bit_for_bit(
        self, artifacts: tuple[bytes, bytes], model: SegmentModel
    ) -> None:
        assigned = model.label(SCALED)
        served = load_model("kmeans", artifacts[1]).predict(assigned.components)
        np.testing.assert_array_equal(assigned.labels, served["closest_cluster"])
        np.testing.assert_array_equal(assigned.distances, served["distance_to_cluster"])
        assert len(np.unique(assigned.labels)) == CLUSTERS

    def test_a_row_on_a_centroid_has_distance_zero(self, model: SegmentModel) -> None:
        labels, distances = nearest_centroids(model.centroids.astype(np.float32), model.centroids)
        assert labels.tolist() == list(range(CLUSTERS))
        assert distances.tolist() == [0.0] * CLUSTERS


class TestAnotherRunsScale:
    def test_equal_ranges_change_no_bit(self, model: SegmentModel) -> None:
        np.testing.assert_array_equal(model.rescale(SCALED, model.scaling), SCALED)

    def test_other_ranges_and_another_order_give_the_same_place(self, model: SegmentModel) -> None:
        order = np.random.default_rng(1).permutation(FEATURES)
        low, high = np.array(MINIMUM)[order] - 5, np.array(MAXIMUM)[order] * 2
        names = [NAMES[index] for index in order]
        other = Scaling.from_json(scaler(low.tolist(), high.tolist(), names))
        original = model.scaling.inverse_transform(SCALED.astype(float))
        rows = ((original[:, order] - low) / (high - low)).astype(np.float32)
        np.testing.assert_allclose(model.rescale(rows, other), SCALED, atol=1e-6)

    def test_a_value_beyond_the_old_range_stays_beyond_it(self, model: SegmentModel) -> None:
        wider = Scaling.from_json(scaler(MINIMUM, (2 * np.array(MAXIMUM)).tolist(), NAMES))
        highest = np.ones((1, FEATURES), np.float32)
        assert (model.rescale(highest, wider) > 1.5).all()

    def test_a_missing_feature_is_named(self, model: SegmentModel) -> None:
        fewer = Scaling.from_json(scaler(MINIMUM[1:], MAXIMUM[1:], NAMES[1:]))
        with pytest.raises(KeyError, match="Feature0"):
            model.rescale(SCALED[:, 1:], fewer)

    def test_a_packed_model_assigns_rows_bit_for_bit_alike(self, model: SegmentModel) -> None:
        packed = SegmentModel.from_bytes(model.to_bytes())
        assert packed.scaling.features == model.scaling.features
        np.testing.assert_array_equal(packed.rescale(SCALED, model.scaling), SCALED)
        for field in ("components", "labels", "distances"):
            np.testing.assert_array_equal(getattr(packed.label(SCALED), field), getattr(model.label(SCALED), field))
