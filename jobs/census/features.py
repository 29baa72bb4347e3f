"""The dictionary of known census features, features.json, as Python objects.

It serves to find mistakes in a file and to recognize columns. A column that the dictionary does not know is a feature
like any other.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

LARGEST_PERCENTAGE = 100.0
"""Percentages of the American Community Survey are shares of a whole, so none is larger."""

_IGNORED = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Feature:
    """A known feature.

    Attributes
    ----------
    name
        The usual name of its column.
    unit
        The unit of its values; percentages run from 0 to 100.
    source
        Its table in the American Community Survey.
    synonyms
        Names of the same feature in other files.
    """

    name: str
    unit: Literal["count", "dollars", "percent", "minutes"]
    source: str
    synonyms: tuple[str, ...]


def find(column: str) -> Feature | None:
    """Return the feature that a column holds, or ``None``; case, punctuation and spaces in its name do not matter."""
    return _by_name().get(normalized(column))


def normalized(name: str) -> str:
    """Return a column's name in lower case, with its letters and digits only."""
    return _IGNORED.sub("", name.casefold())


@cache
def _by_name() -> dict[str, Feature]:
    document = json.loads(Path(__file__).with_name("features.json").read_text(encoding="utf-8"))
    features = [Feature(**entry | {"synonyms": tuple(entry["synonyms"])}) for entry in document["features"]]
    return {normalized(name): feature for feature in features for name in (feature.name, *feature.synonyms)}
