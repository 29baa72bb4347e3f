"""How many clusters the data asks for: the curve over k, and the rule that reads it."""

import numpy as np
import pytest

from jobs.segments.cluster_count import ElbowPoint, choose_k, elbow, steadier_neighbour

FOUR_CLUSTERS = np.repeat(np.array([[0, 0], [0, 9], [9, 0], [9, 8]]), 50, axis=0) + np.random.default_rng(0).normal(
    scale=0.3, size=(200, 2)
)


def curve(*means: float, steady: dict[int, float] | None = None, first: int = 5) -> list[ElbowPoint]:
    return [ElbowPoint(k, mean, (steady or {}).get(k, 0.9), None) for k, mean in enumerate(means, first)]


class TestElbow:
    def test_more_clusters_bring_rows_nearer(self) -> None:
        means = [point.mean_distance for point in elbow(FOUR_CLUSTERS, range(1, 7), seed=1)]
        assert means == sorted(means, reverse=True)

    def test_the_planted_number_of_clusters_is_the_steadiest_and_has_the_best_silhouette(self) -> None:
        points = elbow(FOUR_CLUSTERS, range(3, 9), seed=1)
        planted = points[1]
        assert planted.adjusted_rand == max(point.adjusted_rand for point in points) == pytest.approx(1)
        assert planted.silhouette == max(point.silhouette or 0 for point in points)
        assert choose_k(points) == planted.k == 4

    def test_the_same_seed_gives_the_same_curve(self) -> None:
        assert elbow(FOUR_CLUSTERS, [3], seed=5) == elbow(FOUR_CLUSTERS, [3], seed=5)

    def test_more_clusters_than_distinct_rows_are_left_out(self) -> None:
        rows = np.repeat(np.eye(3), 4, axis=0)
        assert [point.k for point in elbow(rows, range(2, 6), seed=0)] == [2, 3]

    def test_one_cluster_has_no_silhouette(self) -> None:
        assert elbow(FOUR_CLUSTERS, [1])[0].silhouette is None


class TestChoosing:
    def test_the_sharpest_bend_is_chosen(self) -> None:
        assert choose_k(curve(10, 5, 4.5, 4.2, 4)) == 6

    def test_a_bend_at_an_unsteady_k_is_not_chosen(self) -> None:
        assert choose_k(curve(10, 5, 4.4, 4.2, 4, steady={6: 0.7})) == 7

    def test_of_two_steady_ks_the_sharper_bend_is_chosen_and_not_the_steadier_one(self) -> None:
        assert choose_k(curve(10, 5, 4.5, 4.2, 4, steady={7: 0.94})) == 6

    def test_a_curve_without_a_bend_gives_the_steadiest_k(self) -> None:
        assert choose_k(curve(4, 3, 2, 1, steady={7: 0.92})) == 7

    @pytest.mark.parametrize(("means", "k"), [([1, 1, 1], 5), ([2, 1], 5), ([1], 5)])
    def test_a_curve_without_a_bend_and_equally_steady_gives_the_fewest_clusters(
        self, means: list[float], k: int
    ) -> None:
        assert choose_k(curve(*means)) == k

    def test_an_empty_curve_is_refused(self) -> None:
        with pytest.raises(ValueError, match="empty elbow curve"):
            choose_k([])


class TestSteadierNeighbour:
    @pytest.mark.parametrize(
        ("steady", "found"),
        [({6: 0.97}, 6), ({6: 0.94}, None), ({10: 0.99}, None), ({6: 0.96, 9: 0.98}, 9)],
    )
    def test_is_a_k_within_two_that_is_much_steadier(self, steady: dict[int, float], found: int | None) -> None:
        neighbour = steadier_neighbour(curve(*[1.0] * 6, steady=steady), 8 if 10 not in steady else 7)
        assert (neighbour.k if neighbour else None) == found

    def test_of_a_k_that_was_not_measured_there_is_none(self) -> None:
        assert steadier_neighbour(curve(3, 2, 1), 20) is None
