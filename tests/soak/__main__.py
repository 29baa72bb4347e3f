"""Disturbs many runs at random, several at a time, and checks after each what must hold: ``make soak``.

``python -m tests.soak --runs 300 --seed 1`` draws each run's file, faults and actions from the seed and the run's
number. A run after which something does not hold is repeated alone, with ever fewer disturbances.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from embedded_aws.cloud.deploy import deploy
from embedded_aws.cloud.instance import Cloud
from local.synth import ROOT, synth
from tests.local.faults import SETTINGS
from tests.local.memory import Memory
from tests.local.runs import Run, Runs
from tests.soak.plan import Trial, draw
from tests.soak.trial import Ended, carry_out, shrink

_IDLE_SECONDS = 5.0
_WARM_UP_RUNS = 4
# Histories of executions, logs and CloudTrail's events stay in memory, as AWS keeps them. A run stores some 25 objects.
_KILOBYTES_PER_OBJECT = 150
_SETTINGS = SETTINGS | {
    # So that some files wait in the queue.
    "max_concurrent_runs": 6,
    # At the embedded AWS's speed this is some minutes, which is longer than any stuck resource occupies a quota.
    "capacity_wait_seconds": 86_400,
}


def soak(count: int, seed: int, at_a_time: int, console: Console, only: Sequence[int] = ()) -> bool:
    """Run a soak and print its summary; return whether everything held.

    Parameters
    ----------
    count
        Number of runs.
    seed
        Determines, with its number, everything about a run.
    only
        The numbers of the runs to carry out, if not all.
    """
    trials = [draw(seed, number) for number in only or range(count)]
    with _deployed() as runs:
        before, began = _Footprint(runs), time.monotonic()
        with (
            Memory(runs.cloud.pid) as memory,
            _ChangingQuotas(runs, seed) as quotas,
            ThreadPoolExecutor(at_a_time) as pool,
        ):
            started = [pool.submit(carry_out, runs, trial, f"soak{trial.number:05}") for trial in trials]
            ended = []
            for number, each in enumerate(as_completed(started), 1):
                ended.append(each.result())
                _report(console, seed, number, ended[-1])
        seconds, after = time.monotonic() - began, _Footprint(runs)
        violations = [*after.violations_since(before), *_violations_at_the_end(runs, len(trials))]
        failed = [each for each in ended if each.violations]
        console.print(_table(ended))
        for line in [*(f"at the end: {each}" for each in violations), after.growth_since(before)]:
            console.print(line)
        statuses = Counter(each.status for each in ended)
        console.print(
            f"seed {seed}: {len(ended)} runs in {seconds:.0f} s, {at_a_time} at a time, {memory.peak:,.0f} MB at most, "
            f"{quotas.changes} changes of the account's quotas; "
            f"{', '.join(f'{number} {status}' for status, number in statuses.most_common())}; "
            f"{sum(len(each.violations) for each in failed) + len(violations)} violations"
        )
        _shrink_all(runs, failed, console)
    return not failed and not violations


@contextmanager
def _deployed() -> Iterator[Runs]:
    """Deploy the soak's stack into an embedded AWS of its own, and carry out the first few runs."""
    assembly = synth(ROOT / "build" / "soak.out", {"segmentation": _SETTINGS})
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as directory,
        Cloud.start(Path(directory), wait_scale=0.05, idle_seconds=_IDLE_SECONDS) as cloud,
    ):
        runs = Runs(cloud, deploy(cloud, assembly))
        # Longer than start_run needs on a busy machine; an event that is received five times is given up.
        runs.receive_again_after(5)
        for number in range(_WARM_UP_RUNS):
            runs.end(runs.upload(f"warm{number}.csv"))
        yield runs


class _ChangingQuotas:
    """Sets and lifts small quotas of the account at random; all runs together have to share them."""

    def __init__(self, runs: Runs, seed: int) -> None:
        self.changes = 0
        self._runs, self._chance = runs, random.Random(f"{seed}:quotas")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._change, daemon=True)

    def __enter__(self) -> _ChangingQuotas:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _change(self) -> None:
        while not self._stop.wait(self._chance.uniform(2, 10)):
            quota = f"{self._chance.choice(('TrainingJob', 'Endpoint'))}:quota={self._chance.randint(1, 3)}"
            self._runs.add_faults(quota)
            self._stop.wait(self._chance.uniform(1, 5))
            self._runs.remove_faults(quota)
            self.changes += 1


def _violations_at_the_end(runs: Runs, trials: int) -> Iterator[str]:
    """Check what holds for all runs together."""
    executions = runs.executions()
    if len(executions) != trials + _WARM_UP_RUNS:
        yield f"{trials + _WARM_UP_RUNS} files made {len(executions)} executions"
    if not runs.is_queue_empty():
        yield "an event is left in the queue"
    for name in ("GivenUpUrl", "DeadLettersUrl"):
        for letter in runs.messages_to(runs.outputs[name]):
            yield f"{name} has {str(letter)[:300]}"
    latest = next((each for each in executions if each["name"] == runs.latest_run()), None)
    if latest is None:
        yield f"latest.json names {runs.latest_run()}, which is not a run"
        return
    for later in executions:
        if later["status"] == "SUCCEEDED" and later["stopDate"] > latest["stopDate"]:
            run = Run(later["name"], "", "", later["executionArn"])
            if runs.entered_at(run, "Publish") > latest["stopDate"]:
                yield f"latest.json names {latest['name']}, after which {later['name']} was published"


class _Footprint:
    """What a server uses while nothing runs."""

    def __init__(self, runs: Runs) -> None:
        time.sleep(2 * _IDLE_SECONDS)
        self.left = runs.leftovers()
        self.processes = len(psutil.Process(runs.cloud.pid).children(recursive=True))
        self.temporary = len(list(Path(runs.cloud.directory, "tmp").iterdir()))
        self.megabytes = Memory(runs.cloud.pid).now()
        versions = [
            len(page.get("Versions", []))
            for bucket in (runs.incoming, runs.results)
            for page in runs.client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket)
        ]
        self.objects = sum(versions)

    def violations_since(self, before: _Footprint) -> list[str]:
        found = [f"{each} is left" for each in self.left]
        if self.processes > before.processes:
            found.append(f"{self.processes} processes run; before, {before.processes} did")
        if self.temporary > before.temporary:
            found.append(f"{self.temporary} temporary files exist; before, {before.temporary} did")
        if self.kilobytes_per_object(before) > _KILOBYTES_PER_OBJECT:
            found.append(f"memory may grow by at most {_KILOBYTES_PER_OBJECT} KB per stored object")
        return found

    def growth_since(self, before: _Footprint) -> str:
        """Return by how much memory has grown, in all and for each object that is stored in S3 since."""
        grown = self.megabytes - before.megabytes
        return f"memory grew by {grown:,.0f} MB, {self.kilobytes_per_object(before):,.0f} KB per stored object"

    def kilobytes_per_object(self, before: _Footprint) -> float:
        """Return by how much memory has grown for each object that is stored in S3 since."""
        return 1024 * (self.megabytes - before.megabytes) / max(1, self.objects - before.objects)


def _report(console: Console, seed: int, done: int, ended: Ended) -> None:
    disturbed = ", ".join(ended.trial.ingredients()) or "nothing"
    if ended.violations:
        console.print(
            f"[{done}] VIOLATION: run {ended.trial.number} of seed {seed} ({ended.run_id}), with {disturbed}: "
            + "; ".join(ended.violations)
        )
    elif not console.quiet:
        console.print(f"[{done}] run {ended.trial.number}, with {disturbed}: {ended.status}, {ended.seconds:.0f} s")


def _shrink_all(runs: Runs, violating: Sequence[Ended], console: Console) -> None:
    for failed in violating:

        def again(trial: Trial) -> Ended:
            # The faults are bound to the name, of which a run id has no more than 14 characters.
            return carry_out(runs, trial, f"again{random.randrange(10**8):08}")

        smallest = shrink(failed, again)
        what = ", ".join(smallest.trial.ingredients()) or "nothing"
        how = "fails alone with" if smallest is not failed else "fails only among others, with"
        console.print(f"run {failed.trial.number} {how} {what}: {'; '.join(smallest.violations)}")


def _table(ended: Sequence[Ended]) -> Table:
    """Count the final statuses by what disturbed the runs; a run with several disturbances counts for each."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for each in ended:
        for ingredient in each.trial.ingredients() or ["nothing"]:
            counts[ingredient][each.status.partition(":")[0]] += 1
    table = Table(title="Runs by disturbance and final status")
    for column in ("disturbance", "SUCCEEDED", "FAILED", "ABORTED", "unknown"):
        table.add_column(column, justify="left" if column == "disturbance" else "right")
    for ingredient, found in sorted(counts.items()):
        table.add_row(
            ingredient, *(str(found[status] or "") for status in ("SUCCEEDED", "FAILED", "ABORTED", "unknown"))
        )
    return table


def main() -> None:
    """Read the command line and run the soak."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--runs", type=int, default=300, help="number of runs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="default: drawn, and printed")
    parser.add_argument("--at-a-time", type=int, default=8, help="runs at a time (default: %(default)s)")
    parser.add_argument("--only", type=int, nargs="*", default=(), help="carry out only the runs with these numbers")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 200, markup=False, highlight=False, soft_wrap=True)
    held = soak(options.runs, options.seed, options.at_a_time, console, options.only)
    sys.exit(not held)


if __name__ == "__main__":
    main()
