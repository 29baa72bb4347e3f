"""Certainty in words: classes of rows, segments, and the recommendation of a steadier number of segments."""

import numpy as np
import pytest

from jobs.segments.certainty import CLASSES, classify, stability_in_words, steadier_sentence
from jobs.segments.document import ElbowEntry, KMeansSummary, StabilitySummary


def test_a_stability_on_a_limit_belongs_to_the_more_certain_class() -> None:
    stabilities = np.array([1.0, 0.99, 0.989, 0.9, 0.899, 0.7, 0.699, 0.0])
    assert classify(stabilities).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [one.name for one in CLASSES] == ["Certain", "Fairly certain", "Uncertain", "Between two segments"]


@pytest.mark.parametrize(("stability", "words"), [(0.85, "high"), (0.84, "moderate"), (0.6, "moderate"), (0.59, "low")])
def test_the_stability_of_a_segment_in_words(stability: float, words: str) -> None:
    assert stability_in_words(stability) == words


@pytest.mark.parametrize(
    ("steadier", "sentence"),
    [
        (None, None),
        (
            6,
            "6 segments are much steadier than 8: their adjusted Rand index over bootstrap refits is 0.94,"
            " and that of 8 is 0.85",
        ),
    ],
)
def test_a_steadier_number_of_segments_is_recommended_in_one_sentence(
    steadier: int | None, sentence: str | None
) -> None:
    kmeans = KMeansSummary(
        k=8,
        mean_squared_distance=0.1,
        silhouette=0.2,
        elbow=[
            ElbowEntry(k=6, mean_distance=0.3, adjusted_rand=0.935, silhouette=0.2),
            ElbowEntry(k=8, mean_distance=0.2, adjusted_rand=0.85, silhouette=0.2),
        ],
        steadier_k=steadier,
        stability=StabilitySummary(refits=100, sample_rows=100, adjusted_rand=0.9, unstable_rows=0, borders=[]),
    )
    assert steadier_sentence(kmeans) == sentence
