"""Pairs the rows of a matrix with its columns at the lowest total cost."""

import numpy as np


def cheapest_pairs(cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair rows with columns one to one, so that the sum of the costs is the lowest.

    This is the assignment problem, solved by the Hungarian method of Kuhn (1955) with the shortest augmenting paths of
    Jonker and Volgenant (1987), in O(n² m) steps. For the few rows of this project, importing
    ``scipy.optimize.linear_sum_assignment`` would take longer than all pairings of a run.

    Parameters
    ----------
    cost
        (n, m) finite costs.

    Returns
    -------
    tuple[np.ndarray, np.ndarray]
        The rows in ascending order and their columns, both (min(n, m),).
    """
    if len(cost) > cost.shape[1]:
        columns, rows = cheapest_pairs(cost.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    owners = np.full(cost.shape[1], -1)  # the row of each column
    row_prices, column_prices = np.zeros(len(cost)), np.zeros(cost.shape[1])
    for row in range(len(cost)):
        distance = np.full(cost.shape[1], np.inf)
        before = np.full(cost.shape[1], -1)  # the column before each column on the path from `row`
        reached = np.zeros(cost.shape[1], dtype=bool)
        at, column, length = row, -1, 0.0
        while at >= 0:  # until a column without a row is reached
            lengths = length + cost[at] - row_prices[at] - column_prices
            shorter = ~reached & (lengths < distance)
            distance[shorter], before[shorter] = lengths[shorter], column
            column = int(np.where(reached, np.inf, distance).argmin())
            at, length = owners[column], distance[column]
            reached[column] = True
        rest = length - distance[reached]
        row_prices[row] += length
        row_prices[owners[reached & (owners >= 0)]] += rest[owners[reached] >= 0]
        column_prices[reached] -= rest
        while column >= 0:
            owners[column] = owners[before[column]] if before[column] >= 0 else row
            column = before[column]
    columns = np.flatnonzero(owners >= 0)
    order = np.argsort(owners[columns])
    return owners[columns][order], columns[order]
