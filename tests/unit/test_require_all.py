"""What a run of the tests reports where the recorded run's census file is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reference import PROJECT, needs_census

TEST = "tests/unit/jobs/census/test_prepare.py::TestTheRecordedCensus::test_the_files_fingerprint_is_reported"


def run(**variables: str) -> subprocess.CompletedProcess[str]:
    """Run one test that needs the file in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "REQUIRE_ALL"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TEST],
        cwd=PROJECT,
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def missing(tmp_path: Path) -> str:
    return str(tmp_path / "census.csv")


def test_where_all_is_required_a_missing_file_fails_and_the_remedy_is_named(missing: str) -> None:
    done = run(REQUIRE_ALL="1", CENSUS_CSV=missing)
    assert done.returncode == 1
    assert "REQUIRE_ALL=1, and this test was skipped." in done.stdout
    assert f"the recorded run's census file is not at {missing}: say where it is with CENSUS_CSV=path" in done.stdout


@pytest.mark.parametrize("variables", [{}, {"REQUIRE_ALL": "0"}])
def test_otherwise_it_is_skipped_with_the_same_line(missing: str, variables: dict[str, str]) -> None:
    done = run(CENSUS_CSV=missing, **variables)
    assert done.returncode == 0
    assert f"is not at {missing}: say where it is with CENSUS_CSV=path" in done.stdout
    assert "1 skipped" in done.stdout


@needs_census
def test_with_the_file_nothing_is_skipped() -> None:
    done = run(REQUIRE_ALL="1")
    assert done.returncode == 0
    assert "1 passed" in done.stdout
