"""Finds the regions of one census file in another, across changes of ids, names and boundaries.

``region_changes.json`` lists the changes of counties and their equivalents since 2001, from the Census Bureau's own
list: a renamed region is followed to its new id; regions that were split, merged or redrawn are not comparable.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["RegionChange", "RegionMatch", "Regions", "canonical_id", "match_regions", "region_changes"]

_CHANGES = Path(__file__).with_name("region_changes.json")
# Spreadsheets drop the leading zero of the first nine states: ids of counties have 5 digits, those of tracts 11.
_DIGITS_WITHOUT_ZERO = (4, 10)
_KINDS = re.compile(r"\s+(city and borough|county|parish|borough|census area|municipality|municipio|planning region)$")


@dataclass(frozen=True)
class Regions:
    """A file's regions, all of one length; `has_ids` is false where the id is only the row's number."""

    ids: Sequence[str]
    names: Sequence[str]
    has_ids: bool = True

    def __len__(self) -> int:
        return len(self.ids)

    def keys(self) -> list[str]:
        """Return what identifies each region in another file as well: the canonical id."""
        return [canonical_id(each) for each in self.ids]

    def named(self) -> list[str]:
        """Return each region's name, normalised for matching."""
        return [normalised_name(each) for each in self.names]


@dataclass(frozen=True)
class RegionChange:
    """One change of the map: ids before and after it, and what happened, in a sentence."""

    kind: Literal["renamed", "split", "merged", "redrawn"]
    date: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class RegionMatch:
    """Which regions of two files are the same; all numbers are places in the files.

    Attributes
    ----------
    previous, current
        (n,) places of the same region in both files.
    gone, new
        Regions that only the previous, or only the current file has.
    previous_excluded, current_excluded
        Places of the regions in `not_comparable`.
    renamed
        Changes along which an id was followed.
    not_comparable
        Changes that make the regions in them incomparable.
    """

    previous: NDArray[np.intp]
    current: NDArray[np.intp]
    gone: NDArray[np.intp]
    new: NDArray[np.intp]
    previous_excluded: NDArray[np.intp]
    current_excluded: NDArray[np.intp]
    renamed: tuple[RegionChange, ...] = ()
    not_comparable: tuple[RegionChange, ...] = ()


def canonical_id(text: str) -> str:
    """Return a region's id with the leading zero that a spreadsheet may have dropped.

    >>> canonical_id("1001"), canonical_id("01001"), canonical_id("1001020100")
    ('01001', '01001', '01001020100')
    """
    bare = text.strip()
    return f"0{bare}" if bare.isdecimal() and len(bare) in _DIGITS_WITHOUT_ZERO else bare


def normalised_name(text: str) -> str:
    """Return a name without accents, case, and the kind of county at its end.

    "city" stays: Virginia has both a Fairfax County and a Fairfax city.

    >>> normalised_name("Alabama-Autauga County") == normalised_name("Alabama-Autauga")
    True
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().casefold()
    return _KINDS.sub("", " ".join(plain.replace(".", "").split()))


def match_regions(previous: Regions, current: Regions) -> RegionMatch:
    """Find the previous file's regions in the current one.

    By id where both files have ids, else by name. A name that a file has twice matches nothing, since it does not say
    which of the two is meant.
    """
    if not (previous.has_ids and current.has_ids):
        return _match(_unique(previous.named()), _unique(current.named()), {}, ())
    before, now = previous.keys(), current.keys()
    happened = [change for change in region_changes() if _applies(change, set(before), set(now))]
    renamed = tuple(change for change in happened if change.kind == "renamed")
    apart = tuple(change for change in happened if change.kind != "renamed")
    followed = {change.before[0]: change.after[0] for change in renamed}
    match = _match(_unique(before), _unique(now), followed, apart)
    return replace(match, renamed=renamed, not_comparable=apart)


@cache
def region_changes() -> tuple[RegionChange, ...]:
    """Return the known changes, oldest first."""
    document: dict[str, Any] = json.loads(_CHANGES.read_text())
    return tuple(
        RegionChange(each["kind"], each["date"], tuple(each["before"]), tuple(each["after"]), each["note"])
        for each in document["changes"]
    )


def _applies(change: RegionChange, previous: set[str], current: set[str]) -> bool:
    """Say whether a change lies between two files: an id that it ended is in the first one and not in the second."""
    ended = set(change.before) - set(change.after)
    began = set(change.after) - set(change.before) or set(change.after)
    return bool(ended & previous - current and began & current)


def _unique(keys: list[str]) -> list[str | None]:
    counts = Counter(keys)
    return [key if counts[key] == 1 else None for key in keys]


def _match(
    before: list[str | None], now: list[str | None], followed: dict[str, str], apart: Sequence[RegionChange]
) -> RegionMatch:
    ended = {each for change in apart for each in change.before}
    began = {each for change in apart for each in change.after}
    places = {key: place for place, key in enumerate(now) if key is not None and key not in began}
    pairs = []
    gone = []
    for place, key in enumerate(before):
        if key in ended:
            continue
        found = places.get(followed.get(key, key)) if key is not None else None
        if found is None:
            gone.append(place)
        else:
            pairs.append((place, found))
    matched = {found for _, found in pairs}
    new = [place for place, key in enumerate(now) if place not in matched and key not in began]
    previous, current = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    return RegionMatch(
        previous=previous,
        current=current,
        gone=np.array(gone, dtype=np.intp),
        new=np.array(new, dtype=np.intp),
        previous_excluded=np.array([place for place, key in enumerate(before) if key in ended], dtype=np.intp),
        current_excluded=np.array([place for place, key in enumerate(now) if key in began], dtype=np.intp),
    )
