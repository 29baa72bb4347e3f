"""The twins of the algorithms, compared with the recorded run, with float64 linear algebra and with scikit-learn."""

import json
from typing import Any

import numpy as np
import pytest

from embedded_aws.sagemaker.algorithms import hyperparameters, kmeans, lloyd, pca
from embedded_aws.sagemaker.algorithms.failures import TrainingError
from tests.reference import CENSUS_2015, GOLDEN, needs_recorded_run


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return dict(json.loads(GOLDEN.read_text()))


@pytest.fixture(scope="module")
def scaled() -> np.ndarray:
    """The recorded run's input: complete rows, min-max scaled, float32; the first is Autauga."""
    import pandas as pd

    numbers = pd.read_csv(CENSUS_2015).dropna().drop(columns=["CensusId", "State", "County"]).to_numpy(np.float64)
    scaled: np.ndarray = (numbers - numbers.min(axis=0)) / np.ptp(numbers, axis=0)
    return scaled.astype(np.float32)


def pca_of(
    rows: np.ndarray, components: int, *, portions: int = 1, mode: str = "regular", **options: Any
) -> pca.PcaResult:
    sketch = pca.sketch_matrix(rows.shape[1], components, options.pop("extra", -1), 1) if mode != "regular" else None
    total = pca.PcaSums(rows.shape[1], sketch)
    for portion in np.array_split(rows, portions):
        sums = pca.PcaSums(rows.shape[1], sketch)
        sums.add(portion)
        total.merge(sums)
    return total.solve(components, **options)


def kmeans_of(rows: np.ndarray, seed: int = 0, **settings: Any) -> kmeans.KMeansResult:
    read = hyperparameters.read(
        hyperparameters.KMEANS,
        {"feature_dim": str(rows.shape[1])} | {name: str(value) for name, value in settings.items()},
    )
    trainer = kmeans.KMeansTrainer(read, seed)
    for _ in range(read["epochs"]):
        for portion in np.array_split(rows, 3):
            trainer.add(portion)
        trainer.end_epoch()
    return trainer.finish()


def msd(rows: np.ndarray, centers: np.ndarray) -> float:
    return float((lloyd.assign(rows.astype(float), centers.astype(float))[1] ** 2).mean())


@needs_recorded_run
def test_pca_gives_the_recorded_run(scaled: np.ndarray, golden: dict[str, Any]) -> None:
    result = pca_of(scaled, 33, portions=4)

    figures = golden["pca"]
    np.testing.assert_allclose(result.mean[0], figures["mean"], atol=2e-6)
    np.testing.assert_allclose(result.s[4:], figures["s_ascending"][4:], rtol=1e-4)
    autauga = (scaled[0].astype(float) - result.mean[0]) @ result.v
    np.testing.assert_allclose(np.abs(autauga), np.abs(figures["autauga_projection_ascending"]), atol=5e-4)
    variance = result.s.astype(float) ** 2
    assert variance[-7:].sum() / variance.sum() == pytest.approx(figures["explained_variance_top7"], abs=1e-6)
    assert {array.dtype for array in result.arrays().values()} == {np.dtype(np.float32)}


@needs_recorded_run
def test_the_recorded_centroids_give_the_recorded_clusters(scaled: np.ndarray, golden: dict[str, Any]) -> None:
    components = recorded_components(scaled, golden)
    centroids = np.array(golden["kmeans"]["centroids"], np.float32)
    nearest, distance = lloyd.assign(components, centroids)
    assert np.bincount(nearest).tolist() == golden["kmeans"]["cluster_sizes"]
    assert nearest[0] == golden["kmeans"]["autauga"]["closest_cluster"]
    assert distance[0] == pytest.approx(golden["kmeans"]["autauga"]["distance_to_cluster"], abs=1e-5)


def recorded_components(scaled: np.ndarray, golden: dict[str, Any]) -> np.ndarray:
    """The seven components with the recorded run's signs, float32."""
    result = pca_of(scaled, 7)
    components = ((scaled - result.mean.astype(float)) @ result.v)[:, ::-1]
    signs = np.sign(components[0] * golden["pca"]["top7_projections"]["Alabama-Autauga"])
    signed: np.ndarray = components * signs
    return signed.astype(np.float32)


@needs_recorded_run
def test_the_recorded_kmeans_lies_within_the_twins_distribution(scaled: np.ndarray, golden: dict[str, Any]) -> None:
    """100 seeds: the recorded model's mean squared distance and its shrink stage's are in the middle 90 % of ours."""
    components, recorded = recorded_components(scaled, golden), golden["kmeans"]
    settings = {"k": 8, "epochs": 1, "mini_batch_size": 5000, "init_method": "random"}
    results = [kmeans_of(components, seed, **settings) for seed in range(100)]

    of_rows = [msd(components, result.centers) for result in results]
    low, high = np.percentile(of_rows, [5, 95])
    assert low < recorded["mean_squared_distance_of_these_centroids_on_the_data"] < high
    low, high = np.percentile([result.train_msd for result in results], [5, 95])
    assert low < recorded["train_msd"] < high
    # The ten attempts of the recorded run differ from one another as ours do.
    attempts = recorded["local_lloyd_attempts_msd"]
    low, high = np.percentile([max(result.attempts) / min(result.attempts) for result in results], [5, 95])
    assert low < max(attempts) / min(attempts) < high


@pytest.mark.parametrize("subtract_mean", [True, False])
@pytest.mark.parametrize("portions", [1, 2, 7])
def test_pca_equals_a_float64_svd_however_the_rows_come(portions: int, subtract_mean: bool) -> None:
    rows = np.random.default_rng(1).random((20_000, 12)) @ np.random.default_rng(2).random((12, 12)) + 50
    rows = rows.astype(np.float32)
    result = pca_of(rows, 12, portions=portions, subtract_mean=subtract_mean)

    exact = rows.astype(float) - (rows.mean(axis=0, dtype=float) if subtract_mean else 0)
    _, singular, vectors = np.linalg.svd(exact, full_matrices=False)
    np.testing.assert_allclose(result.s, singular[::-1], rtol=1e-6)
    np.testing.assert_allclose(np.abs(np.sum(result.v * vectors[::-1].T, axis=0)), 1, atol=1e-6)
    assert (result.mean == 0).all() == (not subtract_mean)


@pytest.mark.parametrize("seed", range(5))
def test_the_twins_lloyd_ends_at_the_centers_of_scikit_learns_kmeans(seed: int) -> None:
    from sklearn.cluster import KMeans

    random = np.random.default_rng(seed)
    rows, weights = random.random((400, 3)), random.integers(1, 9, 400).astype(float)
    start = rows[:6]
    found = lloyd.lloyd(rows, weights, start, max_iter=300, tol=1e-4)
    expected = KMeans(6, init=start, n_init=1, tol=1e-4).fit(rows, sample_weight=weights)
    np.testing.assert_allclose(found.centers, expected.cluster_centers_, rtol=1e-9)


@pytest.mark.parametrize("mean", [1e3, 1e5])
def test_a_large_mean_costs_about_as_much_as_rounding_the_rows_to_float32(mean: float) -> None:
    rows = mean + np.random.default_rng(1).random((20_000, 12)) @ np.random.default_rng(2).random((12, 12))
    rounded = rows.astype(np.float32)
    singular, of_rounded = (
        np.linalg.svd(each - each.mean(axis=0), compute_uv=False)[::-1] for each in (rows, rounded.astype(float))
    )
    rounding = np.abs(of_rounded / singular - 1).max()
    assert np.abs(pca_of(rounded, 12, portions=3).s / of_rounded - 1).max() < 10 * rounding


def test_randomized_pca_finds_the_leading_components() -> None:
    random = np.random.default_rng(4)
    spectrum = 100 * 0.6 ** np.arange(60)
    rows = (random.standard_normal((5000, 60)) * spectrum @ np.linalg.qr(random.random((60, 60)))[0]).astype("f4")
    result = pca_of(rows, 5, portions=3, mode="randomized")
    singular = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(result.s, singular[4::-1], rtol=1e-3)
    coarse = pca_of(rows, 5, mode="randomized", extra=0)
    error, coarse_error = (np.abs(found.s / singular[4::-1] - 1).max() for found in (result, coarse))
    assert error < coarse_error < 0.5


def test_randomized_pca_without_subtracting_the_mean_keeps_it() -> None:
    rows = (np.random.default_rng(4).random((500, 20)) + 3).astype(np.float32)
    result = pca_of(rows, 3, mode="randomized", extra=17, subtract_mean=False)
    np.testing.assert_allclose(result.s[-1], np.linalg.svd(rows, compute_uv=False)[0], rtol=1e-5)


def blobs(rows: int = 3000, clusters: int = 6) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(9)
    centers = random.random((clusters, 4)) * 20
    return (centers[random.integers(clusters, size=rows)] + random.normal(0, 0.2, (rows, 4))).astype("f4"), centers


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"init_method": "kmeans++"},
        {"epochs": 3, "mini_batch_size": 200, "half_life_time_size": 500},
        {"extra_center_factor": 4, "init_method": "kmeans++", "local_lloyd_num_trials": 20},
        {"local_lloyd_init_method": "random", "local_lloyd_num_trials": 30},
        {"local_lloyd_max_iter": 50, "local_lloyd_tol": 0.01},
    ],
)
def test_kmeans_finds_planted_clusters_with_every_setting(settings: dict[str, Any]) -> None:
    rows, planted = blobs()
    result = kmeans_of(rows, k=6, **settings)
    assert result.centers.shape == (6, 4)
    assert result.shrunk_from == 6 * settings.get("extra_center_factor", 10)
    assert len(result.attempts) == settings.get("local_lloyd_num_trials", 10)
    assert lloyd.assign(planted, result.centers.astype(float))[1].max() < 0.1


def test_kmeans_of_fewer_distinct_rows_than_centers_still_gives_k_centers() -> None:
    rows = np.repeat(np.eye(2, dtype=np.float32), 50, axis=0)
    result = kmeans_of(rows, k=4)
    assert result.centers.shape == (4, 2)
    assert msd(rows, result.centers) == pytest.approx(0, abs=1e-12)


def test_hyperparameters_have_the_documented_defaults() -> None:
    read = hyperparameters.read(hyperparameters.KMEANS, {"feature_dim": "7", "k": "8", "_num_gpus": "auto"})
    assert read == {
        "feature_dim": 7,
        "k": 8,
        "epochs": 1,
        "eval_metrics": ("msd",),
        "extra_center_factor": None,
        "half_life_time_size": 0,
        "init_method": "random",
        "local_lloyd_init_method": "kmeans++",
        "local_lloyd_max_iter": 300,
        "local_lloyd_num_trials": None,
        "local_lloyd_tol": 1e-4,
        "mini_batch_size": 5000,
        "force_dense": True,
    }
    required = {"feature_dim": "34", "num_components": "33", "mini_batch_size": "500"}
    read = hyperparameters.read(hyperparameters.PCA, required)
    assert (read["algorithm_mode"], read["subtract_mean"], read["extra_components"]) == ("regular", True, -1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("k", "0"),
        ("k", "2.5"),
        ("epochs", "0"),
        ("mini_batch_size", "-1"),
        ("extra_center_factor", "some"),
        ("local_lloyd_num_trials", "0"),
        ("local_lloyd_max_iter", "0"),
        ("local_lloyd_tol", "nan"),
        ("local_lloyd_init_method", "best"),
        ("eval_metrics", "msd"),
        ("force_dense", "1"),
    ],
)
def test_a_bad_hyperparameter_is_a_client_error_that_names_it(name: str, value: str) -> None:
    with pytest.raises(TrainingError, match=f"^ClientError: The value '{value}' is not valid for the '{name}'"):
        hyperparameters.read(hyperparameters.KMEANS, {"feature_dim": "7", "k": "8"} | {name: value})
