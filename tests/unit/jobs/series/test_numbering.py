"""Numbers that mean the same segment from run to run."""

import numpy as np

from jobs.series.numbering import number_segments

BEFORE = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
ONE = np.ones(2)


def test_the_same_segments_in_another_order_keep_their_numbers() -> None:
    numbering = number_segments(BEFORE, BEFORE[[2, 0, 1]], previous_numbers=[4, 7, 1], spread=ONE, next_number=8)
    assert numbering.numbers.tolist() == [1, 4, 7]
    assert set(numbering.distances.values()) == {0.0}


def test_a_segment_beyond_the_threshold_is_new_and_takes_no_used_number() -> None:
    now = BEFORE.copy()
    now[1] = [50, 50]
    numbering = number_segments(BEFORE, now, previous_numbers=[0, 1, 2], spread=ONE, next_number=5)
    assert numbering.numbers.tolist() == [0, 5, 2]


def test_more_and_fewer_segments_than_before() -> None:
    more = number_segments(BEFORE, np.vstack([[99, 99], BEFORE]), previous_numbers=[0, 1, 2], spread=ONE, next_number=3)
    assert more.numbers.tolist() == [3, 0, 1, 2]
    fewer = number_segments(BEFORE, BEFORE[1:], previous_numbers=[0, 1, 2], spread=ONE, next_number=3)
    assert fewer.numbers.tolist() == [1, 2]


def test_one_hopeless_pair_does_not_pull_good_pairs_apart() -> None:
    # Minimising the plain sum would pair 0 with 0.45 and 0.45 with 100, instead of 0.45 with itself.
    before, now = np.array([[0.0], [0.4]]), np.array([[0.4], [100.0]])
    numbering = number_segments(before, now, previous_numbers=[0, 1], spread=np.ones(1), next_number=2)
    assert numbering.numbers.tolist() == [1, 2]


def test_distances_are_in_standard_deviations_and_constant_features_do_not_count() -> None:
    numbering = number_segments(
        np.array([[1000.0, 5.0]]),
        np.array([[1400.0, 9.0]]),
        previous_numbers=[3],
        spread=np.array([1000.0, 0.0]),
        next_number=4,
    )
    assert numbering.distances == {3: 0.4}


def test_without_a_feature_that_varies_nothing_is_the_same() -> None:
    numbering = number_segments(BEFORE, BEFORE, previous_numbers=[0, 1, 2], spread=np.zeros(2), next_number=3)
    assert numbering.numbers.tolist() == [3, 4, 5]
