"""Pairs of rows and columns at the lowest total cost, judged by SciPy."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from jobs.segments.pairing import cheapest_pairs


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (5, 9), (9, 5), (30, 30), (1, 6)])
def test_the_pairs_are_those_of_scipy(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(shape)
    for _ in range(50):
        cost = random.normal(size=shape)
        expected = linear_sum_assignment(cost)
        np.testing.assert_array_equal(cheapest_pairs(cost), expected)


@pytest.mark.parametrize("shape", [(8, 8), (4, 7), (7, 4)])
def test_among_equal_costs_the_total_is_the_lowest(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(shape)
    for _ in range(200):
        cost = random.integers(3, size=shape)
        rows, columns = cheapest_pairs(cost)
        assert len(set(rows.tolist())) == len(set(columns.tolist())) == min(shape)
        assert cost[rows, columns].sum() == cost[linear_sum_assignment(cost)].sum()
