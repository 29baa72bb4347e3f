"""Where every file of a run is in S3."""

import hashlib
import re
from base64 import b32encode
from dataclasses import dataclass

from contract.names import Stage

LATEST = "latest.json"
"""Describes the last run that succeeded."""
RUNS_PREFIX = "runs/"
"""The prefix of all runs in the results bucket."""
INCOMING_PREFIX = "incoming/"
"""The prefix in the incoming bucket under which a CSV starts a run."""

_SLUG_LENGTH = 14
_DIGEST_LENGTH = 10
_RERUN = re.compile(r"[a-z0-9]{1,6}")


def run_id(bucket: str, key: str, version: str, rerun: str | None = None) -> str:
    """Return the id of the run of one object version.

    Parameters
    ----------
    bucket, key
        Where the CSV is.
    version
        Its version id, or its ETag if the bucket has no versions.
    rerun
        A suffix that starts another run of the same version: 1 to 6 of ``[a-z0-9]``.

    Returns
    -------
    str
        At most 32 of ``[a-z0-9-]``: a readable part of the file's name, then 50 bits of SHA-256. The same object
        version always has the same id, so a repeated event refers to the same run.

    Raises
    ------
    ValueError
        If `rerun` has other characters or is too long.
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
    """The keys of one run's files.

    `part` is the name of a shard, such as ``part-00000``. With ``*`` as the run id or as a part, the keys are the
    patterns that IAM policies use: ``RunLayout("*").shards`` is ``runs/*/prepared/shards.json``.
    """

    run_id: str

    @property
    def root(self) -> str:
        """The prefix of everything that the run writes."""
        return f"{RUNS_PREFIX}{self.run_id}/"

    @property
    def prepared(self) -> str:
        """The prefix of the files that Prepare writes."""
        return f"{self.root}prepared/"

    @property
    def train(self) -> str:
        """The prefix of PCA's training shards."""
        return f"{self.prepared}train/"

    @property
    def regions(self) -> str:
        """Id, state and county of each region that was kept, in the order of the shards' rows."""
        return f"{self.prepared}regions.csv"

    @property
    def scaler(self) -> str:
        """Minimum, maximum and scaled mean of each feature, and which regions were dropped."""
        return f"{self.prepared}scaler.json"

    @property
    def shards(self) -> str:
        """The list of shards, which the maps of the state machine read."""
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
    def fresh_starts(self) -> str:
        """The best centroids of the fresh k-means++ starts."""
        return f"{self.root}fresh_starts.json"

    @property
    def refined_model(self) -> str:
        """The refined k-means artifact."""
        return f"{self.model('kmeans')}refined/model.tar.gz"

    @property
    def refinement(self) -> str:
        """How the refined centroids compare with those of the training job."""
        return f"{self.root}refinement.json"

    @property
    def stability(self) -> str:
        """The bootstrap refits of k-means, aligned with the final centroids."""
        return f"{self.root}stability.npz"

    @property
    def alignment(self) -> str:
        """The numbers of the segments within the series, and the run that they were aligned with."""
        return f"{self.root}alignment.json"

    @property
    def previous_model(self) -> str:
        """The model of the run before in the series, with the names that this run's file gives the features."""
        return f"{self.root}previous_model.npz"

    @property
    def elbow(self) -> str:
        """The mean distance to the nearest centroid, the stability and the silhouette for each k."""
        return f"{self.root}elbow.json"

    @property
    def labeled(self) -> str:
        """The prefix of the labeled shards and of their statistics."""
        return f"{self.root}labeled/"

    @property
    def labeled_counties(self) -> str:
        """The result: the components, label and distance of every region that was kept."""
        return f"{self.root}labeled_counties.csv"

    @property
    def segments(self) -> str:
        """The description of the segments, for programs."""
        return f"{self.root}segments.json"

    @property
    def report(self) -> str:
        """The description of the segments, for people."""
        return f"{self.root}report.html"

    @property
    def manifest(self) -> str:
        """What the result was made from, and what making it took."""
        return f"{self.root}manifest.json"

    @property
    def changes(self) -> str:
        """What changed since the run before in the series, or why that is not known."""
        return f"{self.root}changes.json"

    @property
    def failure(self) -> str:
        """Why the run failed."""
        return f"{self.root}failure.json"

    @property
    def problems(self) -> str:
        """Why the CSV was refused."""
        return f"{self.root}problems.json"

    def model(self, stage: Stage) -> str:
        """Return the prefix of one stage's artifacts."""
        return f"{self.models}{stage}/"

    def train_part(self, part: str) -> str:
        """Return the key of one shard of scaled features."""
        return f"{self.train}{part}.pbr"

    def projected_part(self, part: str) -> str:
        """Return the key of one shard of kept components."""
        return f"{self.projected}{part}.pbr"

    def sampled_part(self, part: str) -> str:
        """Return the key of one shard's rows of the even sample."""
        return f"{self.root}sampled/{part}.npz"

    def labeled_part(self, part: str) -> str:
        """Return the key of one shard of the result."""
        return f"{self.labeled}{part}.csv"

    def statistics_part(self, part: str) -> str:
        """Return the key of the statistics of one shard."""
        return f"{self.labeled}{part}.npz"


ANY_RUN = RunLayout("*")
"""The keys of all runs, as IAM patterns."""


@dataclass(frozen=True)
class SeriesLayout:
    """The keys of one series' files; with ``*`` as the name, the patterns for IAM policies."""

    name: str

    @property
    def history(self) -> str:
        """The successful runs of the series, oldest first."""
        return f"series/{self.name}/history.json"

    @property
    def latest(self) -> str:
        """Describes the last run of the series that succeeded."""
        return f"series/{self.name}/latest.json"


ANY_SERIES = SeriesLayout("*")
