"""Where every file of a run lies in the results bucket."""

import hashlib
import re
from base64 import b32encode
from dataclasses import dataclass

LATEST = "latest.json"
INCOMING_PREFIX = "incoming/"

_SLUG_LENGTH = 14
_DIGEST_LENGTH = 10
_RERUN = re.compile(r"[a-z0-9]{1,6}")


def run_id(bucket: str, key: str, version: str, rerun: str | None = None) -> str:
    """Name the run of one object version.

    Parameters
    ----------
    bucket, key
        Where the CSV lies.
    version
        Its version id, or its ETag in a bucket without versions.
    rerun
        A suffix for a deliberate second run of the same version, 1 to 6 of ``[a-z0-9]``.

    Returns
    -------
    str
        At most 32 of ``[a-z0-9-]``: readable first, unique by 50 bits of SHA-256. The same object version always
        gives the same id, so a repeated event is the same run.

    Raises
    ------
    ValueError
        When `rerun` has other characters or is too long.
    """
    stem = key.rsplit("/", 1)[-1].split(".", 1)[0].lower()
    slug = re.sub(r"[^a-z0-9]+", "-", stem)[:_SLUG_LENGTH].strip("-") or "run"
    digest = hashlib.sha256("\0".join((bucket, key, version)).encode()).digest()
    name = f"{slug}-{b32encode(digest).decode().lower()[:_DIGEST_LENGTH]}"
    if rerun is None:
        return name
    if not _RERUN.fullmatch(rerun):
        raise ValueError(f"rerun is {rerun!r}; expected 1 to 6 of a-z and 0-9, such as 'r2'")
    return f"{name}-{rerun}"


@dataclass(frozen=True)
class RunLayout:
    """The keys of one run's files; `part` is a shard's name, such as ``part-00000``."""

    run_id: str

    @property
    def root(self) -> str:
        """The prefix of everything the run writes."""
        return f"runs/{self.run_id}/"

    @property
    def prepared(self) -> str:
        """The prefix of what Prepare writes."""
        return f"{self.root}prepared/"

    @property
    def train(self) -> str:
        """The prefix of PCA's training shards."""
        return f"{self.prepared}train/"

    @property
    def regions(self) -> str:
        """One row a kept region, in the shards' order: id, state, county."""
        return f"{self.prepared}regions.csv"

    @property
    def scaler(self) -> str:
        """Per feature its minimum, maximum and scaled mean, and what was left out."""
        return f"{self.prepared}scaler.json"

    @property
    def shards(self) -> str:
        """The shards' list, which the maps of the state machine read."""
        return f"{self.prepared}shards.json"

    @property
    def models(self) -> str:
        """The prefix of both stages' artifacts."""
        return f"{self.root}models/"

    @property
    def projected(self) -> str:
        """The prefix of the kept components, k-means' training shards."""
        return f"{self.root}projected/"

    @property
    def elbow(self) -> str:
        """Mean distance to the nearest centroid for each k."""
        return f"{self.root}elbow.json"

    @property
    def labeled_counties(self) -> str:
        """The result: every kept region with its components, label and distance."""
        return f"{self.root}labeled_counties.csv"

    @property
    def segments(self) -> str:
        """The segments explained, for programs."""
        return f"{self.root}segments.json"

    @property
    def report(self) -> str:
        """The segments explained, for people."""
        return f"{self.root}report.html"

    @property
    def manifest(self) -> str:
        """Where the result came from, and what it took."""
        return f"{self.root}manifest.json"

    @property
    def failure(self) -> str:
        """Why the run failed."""
        return f"{self.root}failure.json"

    @property
    def problems(self) -> str:
        """Why the CSV was refused."""
        return f"{self.root}problems.json"

    def train_part(self, part: str) -> str:
        """One shard of scaled features."""
        return f"{self.train}{part}.pbr"

    def projected_part(self, part: str) -> str:
        """One shard of kept components."""
        return f"{self.projected}{part}.pbr"

    def labeled_part(self, part: str) -> str:
        """One shard of the result."""
        return f"{self.root}labeled/{part}.csv"

    def statistics_part(self, part: str) -> str:
        """One shard's statistics of its segments."""
        return f"{self.root}labeled/{part}.npz"


@dataclass(frozen=True)
class Shard:
    """One item of shards.json: the rows that one endpoint request takes.

    Attributes
    ----------
    part
        The shard's name.
    rows, first_row
        How many rows it holds, and the number of the first among all kept rows.
    regions_start, regions_end
        The bytes of regions.csv that name its rows; the end is exclusive.
    """

    part: str
    rows: int
    first_row: int
    regions_start: int
    regions_end: int
