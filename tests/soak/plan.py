"""Draws what happens to each run of a soak from a seed."""

from __future__ import annotations

import gzip
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from tests.local.faults import Case, matrix
from tests.local.runs import small_census
from tests.local.test_killed_functions import CASES as KILLS

_Item = TypeVar("_Item")

BAD_FILES: dict[str, bytes] = {
    "empty": b"",
    "no census": b"no,census\n1,2\n",
    "too few rows": small_census(rows=6),
    "text in a number": small_census(rows=64).replace(b"0.5", b"n/o").replace(b"100.", b"a100."),
    "binary": bytes(range(256)) * 40,
    "zeros": gzip.compress(bytes(8 << 20)),
    "cut gzip": gzip.compress(small_census())[:-20],
}
ACTIONS = ("abort", "duplicate event", "delete the input", "delete a shard", "quota for a while")
_LISTS_LAG = ("SageMaker@{name}-:lag=0.5", "SageMaker@{name}-:lag=2", "SageMaker@{name}-:not_found=ResourceNotFound")
_SLOW = ("s3.GetObject@*{name}-:slow=0.5*4", "s3.PutObject@*{name}-:slow=0.5*4", "InvokeEndpoint@{name}-:slow=0.5*2")
# Faults of these kinds can together exhaust the instance types that a run may fall back to.
_INSTANCE_FAULTS = ("quota", "capacity")


@dataclass(frozen=True)
class Trial:
    """What happens to one run.

    Attributes
    ----------
    number
        The place in the soak; with the seed it determines everything else.
    rows
        The rows of a valid census.
    bad_file
        A key of :data:`BAD_FILES` if the file is not a valid census.
    passing, lasting
        Faults that the run must survive, and that it must not.
    conditions
        Faults that only make AWS slower or less consistent.
    action
        One of :data:`ACTIONS`, done ``delay`` seconds after the upload; empty for none.
    redrive
        Whether the run is redriven, without its faults, if it does not succeed.
    """

    number: int
    rows: int
    bad_file: str
    passing: tuple[Case, ...]
    lasting: tuple[Case, ...]
    conditions: tuple[str, ...]
    action: str
    delay: float
    redrive: bool

    @property
    def body(self) -> bytes:
        """The content of the file."""
        return BAD_FILES[self.bad_file] if self.bad_file else small_census(self.rows, seed=self.number)

    def faults(self, name: str) -> list[str]:
        """Return the specifications of the faults for a file called ``name``."""
        found = [condition.format(name=name) for condition in self.conditions]
        for case in (*self.passing, *self.lasting):
            where = case.where.format(name=name, stage=case.stage)
            found += [given.replace(":", f"@{name}-*-{case.stage}:") for given in case.given]
            found += [f"{case.operation}@{where}:{fault}" for fault in case.fault.split()]
        return found

    def ingredients(self) -> list[str]:
        """Return the names of what makes this run differ from an undisturbed one."""
        cases = [case.label for case in (*self.passing, *self.lasting)]
        given = [self.bad_file, self.action, "redrive" if self.redrive else ""]
        return [*cases, *self.conditions, *filter(None, given)]

    def smaller(self) -> Sequence[Trial]:
        """Return the trials that lack one ingredient of this one."""
        found = [replace(self, passing=_without(self.passing, each)) for each in self.passing]
        found += [replace(self, lasting=_without(self.lasting, each)) for each in self.lasting]
        found += [replace(self, conditions=_without(self.conditions, each)) for each in self.conditions]
        found += [replace(self, action="")] if self.action else []
        found += [replace(self, bad_file="")] if self.bad_file else []
        return found + ([replace(self, redrive=False)] if self.redrive else [])


def draw(seed: int, number: int) -> Trial:
    """Draw the trial with a number; the same seed and number always give the same trial."""
    chance = random.Random(f"{seed}:{number}")
    # Every run trains; those that apply an earlier model call other functions.
    cases = [case for case in [*matrix(), *KILLS] if not (case.during or case.body is not None or case.applies)]
    drawn = chance.sample([case for case in cases if case.error is None], chance.choice((0, 0, 1, 1, 2, 3)))
    lasting = [chance.choice([case for case in cases if case.error is not None])] if chance.random() < 0.2 else []
    return Trial(
        number=number,
        rows=40 + 8 * chance.randrange(40),
        bad_file=chance.choice(sorted(BAD_FILES)) if chance.random() < 0.1 else "",
        passing=tuple(_compatible(drawn, lasting)),
        lasting=tuple(lasting),
        conditions=tuple(chance.sample((*_LISTS_LAG, *_SLOW), chance.choice((0, 0, 0, 1, 2)))),
        action=chance.choice(ACTIONS) if chance.random() < 0.35 else "",
        delay=chance.uniform(0, 8),
        redrive=chance.random() < 0.5,
    )


def _compatible(drawn: Sequence[Case], lasting: Sequence[Case]) -> list[Case]:
    """Leave out passing cases that add up to more than the run must survive, or that would hide a lasting one."""
    kept: list[Case] = []
    for case in drawn:
        others = [*lasting, *kept]
        together = [each for each in others if _exhausts(each) and _exhausts(case)]
        if not together and case.operation not in {each.operation for each in others}:
            kept.append(case)
    return kept


def _exhausts(case: Case) -> bool:
    return any(kind in case.label for kind in _INSTANCE_FAULTS)


def _without(items: tuple[_Item, ...], item: _Item) -> tuple[_Item, ...]:
    return tuple(each for each in items if each is not item)
