"""A whole run with one of the settings for accounts with rules at a time; `tests/local` has one with all of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.cloud.deploy import deploy
from embedded_aws.cloud.instance import Cloud
from embedded_aws.permissions import DECISIONS, collect, compare, read
from local.synth import synth
from tests.local.runs import Runs
from tests.local.test_locked_down import settings_of_a_locked_down_account
from tests.local.test_roles import role_of, without

pytestmark = pytest.mark.timeout(900)

TOGETHER = {
    "customer key": ("encryption",),
    "existing key": ("encryption", "existing_key_arn"),
    "role path": ("role_path",),
    "boundary": ("permissions_boundary",),
    "vpc": ("vpc_subnet_ids", "vpc_security_group_ids"),
    "role name prefix": ("role_name_prefix",),
    "existing buckets": ("existing_incoming_bucket", "existing_results_bucket"),
    "bootstrap qualifier": ("bootstrap_qualifier",),
}
"""The settings of each run; the others have their defaults."""


@dataclass(frozen=True)
class Requests:
    """The requests of the stack's roles: role and action, so that they can be compared between stacks."""

    allowed: set[tuple[str, str]]
    refused: set[tuple[str, str]]


@contextmanager
def deployed(folder: Path, names: tuple[str, ...]) -> Iterator[Runs]:
    """Deploy the stack with some of the settings for accounts with rules."""
    with Cloud.start(folder / "cloud") as cloud:
        every = settings_of_a_locked_down_account(cloud)
        settings: dict[str, Any] = {name: every[name] for name in names}
        yield Runs(cloud, deploy(cloud, synth(folder / "cdk.out", {"segmentation": settings})))


def requests_of_a_run(runs: Runs, folder: Path) -> Requests:
    """Run a census, which must succeed and leave nothing, and return the requests of the stack's roles."""
    run = runs.upload("locked.csv")
    execution = runs.end(run, 280)
    assert execution["status"] == "SUCCEEDED", execution.get("cause")
    assert runs.has_correct_labels(run)
    assert runs.leftovers() == []
    collect(runs.cloud.client, runs.cloud.directory / DECISIONS, runs.stack, folder)
    report = compare(*read([folder]), {})
    return Requests(
        {(grant.role, grant.action) for grant in report.used},
        {(decision.role, decision.action) for decision in report.refused},
    )


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Requests:
    """The requests of a run with the default settings."""
    folder = tmp_path_factory.mktemp("default")
    with deployed(folder, ()) as runs:
        return requests_of_a_run(runs, folder / "requests")


@pytest.mark.parametrize("names", TOGETHER.values(), ids=TOGETHER)
def test_a_run_succeeds_with_the_permissions_of_the_default_and_fails_without_one(
    default: Requests, tmp_path: Path, names: tuple[str, ...]
) -> None:
    with deployed(tmp_path, names) as runs:
        found = requests_of_a_run(runs, tmp_path / "requests")
        assert found.refused == default.refused
        assert found.allowed >= default.allowed
        with without(runs, role_of(runs, "launch-training"), "iam:PassRole"):
            execution = runs.end(runs.upload("denied.csv"))
    assert execution["status"] == "FAILED"
    assert "AccessDenied" in execution["error"]
