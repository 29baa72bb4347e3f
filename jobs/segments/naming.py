"""The traits of segments, and the names that follow from them.

Trait
    A feature whose mean over the segment's rows differs from the mean of all rows by at least half a standard
    deviation of all rows. Margins of error are no traits, nor is a feature that is correlated with a stronger trait
    (0.85 or more over the sample, either sign).
Name
    The phrases of the two strongest traits, such as "High poverty, low income"; "very" from two standard deviations
    on. Segments that would share a name get the phrases of further traits, and finally their label. A segment without
    traits is "Near the average".
"""

from collections.abc import Sequence

import numpy as np

from jobs.segments.document import Trait
from jobs.segments.profiles import Profiles
from jobs.segments.wording import Feature

SMALLEST_EFFECT_SIZE = 0.5
LARGEST_CORRELATION = 0.85
MAX_TRAITS = 6
_TRAITS_PER_NAME = 2


def find_traits(profiles: Profiles, features: Sequence[Feature], sample_features: np.ndarray) -> list[list[Trait]]:
    """Return the traits of each segment, strongest first, at most six each.

    Parameters
    ----------
    features
        The d features, in column order.
    sample_features
        (n, d) rows from which the features' correlations are computed.
    """
    redundant = _correlated(sample_features)
    traits = []
    for effects, means in zip(profiles.effect_size, profiles.mean, strict=True):
        chosen: list[int] = []
        for i in np.argsort(-np.abs(effects), kind="stable").tolist():
            if abs(effects[i]) < SMALLEST_EFFECT_SIZE or len(chosen) == MAX_TRAITS:
                break
            if not features[i].is_error and not redundant[i, chosen].any():
                chosen.append(i)
        traits.append([_trait(features[i], means[i], profiles.overall_mean[i], effects[i]) for i in chosen])
    return traits


def name_segments(traits: Sequence[Sequence[Trait]], labels: Sequence[int]) -> list[str]:
    """Return a distinct name for each segment, given the traits and the label of each."""
    used = [min(_TRAITS_PER_NAME, len(own)) for own in traits]

    def phrases() -> list[frozenset[str]]:
        return [frozenset(trait["phrase"] for trait in own[:count]) for own, count in zip(traits, used, strict=True)]

    for _ in range(MAX_TRAITS):
        sets = phrases()
        for segment, own in enumerate(traits):
            if sets.count(sets[segment]) > 1 and used[segment] < len(own):
                used[segment] += 1
    sets = phrases()
    return [
        _sentence_case(", ".join(trait["phrase"] for trait in own[:count]) or "near the average")
        + (f" (segment {label})" if sets.count(own_set) > 1 else "")
        for label, own, count, own_set in zip(labels, traits, used, sets, strict=True)
    ]


def _correlated(rows: np.ndarray) -> np.ndarray:
    """(d, d) whether two columns of rows (n, d) are correlated too closely to be traits of one segment."""
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.atleast_2d(np.corrcoef(rows, rowvar=False))
    close: np.ndarray = np.abs(np.nan_to_num(correlation)) >= LARGEST_CORRELATION
    return close


def _trait(feature: Feature, value: float, overall: float, effect_size: float) -> Trait:
    own = feature.value(value, against=overall)
    everywhere = feature.value(overall, against=value)
    return Trait(
        feature=feature.name,
        value=float(value),
        all=float(overall),
        effect_size=float(effect_size),
        phrase=feature.phrase(effect_size),
        text=f"{feature.label} {own} (all: {everywhere})",
    )


def _sentence_case(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
