"""Comparing labelings whose labels are numbered differently, judged by scikit-learn where it has the measure."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from jobs.segments.alignment import adjusted_rand, agreement, align, contingency, jaccard

ONE = np.array([0, 0, 0, 1, 1, 2, 2, 2])
OTHER = np.array([2, 2, 2, 0, 0, 1, 1, 0])


def test_labels_are_matched_by_the_rows_they_share() -> None:
    table = contingency(ONE, OTHER, 3)
    np.testing.assert_array_equal(align(table), [2, 0, 1])
    assert agreement(table) == 7


def test_the_match_is_the_best_of_all_and_not_greedy() -> None:
    # Greedily, label 0 would take column 0 for its 5 rows, and 5 + 0 is less than 4 + 4.
    np.testing.assert_array_equal(align(np.array([[5, 4], [4, 0]])), [1, 0])


def test_the_adjusted_rand_index_equals_scikit_learns() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        one, other = random.integers(5, size=(2, 200))
        other = np.where(random.random(200) < 0.6, one, other)
        assert adjusted_rand(contingency(one, other, 5)) == pytest.approx(adjusted_rand_score(one, other))


@pytest.mark.parametrize("labels", [np.zeros(4, dtype=int), np.arange(4)])
def test_equal_labelings_have_an_index_of_one(labels: np.ndarray) -> None:
    assert adjusted_rand(contingency(labels, labels, 4)) == 1


def test_jaccard_divides_shared_rows_by_the_rows_of_either() -> None:
    np.testing.assert_allclose(jaccard(contingency(ONE, OTHER, 3)), [1, 2 / 3, 2 / 3])


def test_a_label_without_rows_has_no_jaccard() -> None:
    split = contingency(np.zeros(3, dtype=int), np.array([0, 0, 1]), 2)
    np.testing.assert_allclose(jaccard(split), [2 / 3, np.nan])
    np.testing.assert_allclose(jaccard(split.T), [2 / 3, 1 / 3])
