"""Recognizes the columns of one census file in another one that names them differently.

Names are normalized for matching only; every output shows the file's own names. `jobs.census.features` has the names
and synonyms of known features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.census import features

__all__ = ["ColumnMatch", "match_columns"]


@dataclass(frozen=True)
class ColumnMatch:
    """Which features of two files are the same.

    Attributes
    ----------
    names
        For each feature of the previous file that was found, its name in the current file; in the previous file's
        order.
    new, missing
        Features that only the current, or only the previous file has.
    """

    names: dict[str, str]
    new: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def renamed(self) -> dict[str, str]:
        """Those of `names` that have another name now."""
        return {before: now for before, now in self.names.items() if before != now}

    @property
    def is_complete(self) -> bool:
        """Whether every feature of the previous file was found."""
        return not self.missing

    def sentences(self) -> list[str]:
        """Return what the match means for the comparison, one sentence each."""
        said = [f"{before} is called {now} in the current file." for before, now in self.renamed.items()]
        if self.missing:
            said.append(
                f"The current file lacks {', '.join(self.missing)}: the previous model cannot label its rows, and"
                " segments are matched by the other features only."
            )
        if self.new:
            said.append(
                f"The previous file lacked {', '.join(self.new)}: a change of segment can come from these columns"
                " alone, without a change of the place."
            )
        return said


def match_columns(previous: Sequence[str], current: Sequence[str]) -> ColumnMatch:
    """Find the features of the previous file among those of the current one.

    A name that both files have is matched first, then synonyms from the dictionary. Two columns of the current file
    that mean the same feature cannot both be it: the first one is.
    """
    by_meaning: dict[str, str] = {}
    for name in current:
        by_meaning.setdefault(_meaning(name), name)
    exact = set(current)
    names: dict[str, str] = {}
    taken: set[str] = set()
    for name in previous:
        found = name if name in exact else by_meaning.get(_meaning(name))
        if found is not None and found not in taken:
            names[name] = found
            taken.add(found)
    return ColumnMatch(
        names=names,
        new=tuple(name for name in current if name not in taken),
        missing=tuple(name for name in previous if name not in names),
    )


def _meaning(name: str) -> str:
    """Return the name of the feature that a column holds, normalized; the column's own name if it is not known."""
    known = features.find(name)
    return features.normalized(known.name if known else name)
