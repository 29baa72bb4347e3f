"""A release with its layers, deployed by its script, passes the check of the example pipeline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from embedded_aws.cloud.instance import Cloud
from infra.settings import Settings
from tests.local.test_release import ROOT, STACK, account, deploy, programs
from tools.release.__main__ import write_release

__all__ = ["account", "programs"]


pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that ``make release`` writes."""
    folder = tmp_path_factory.mktemp("release") / "dist"
    write_release(folder, Settings())
    return folder


def test_every_function_has_layers_with_the_packages_that_the_sbom_lists(released: Path) -> None:
    listed = json.loads((released / "sbom" / "functions.cdx.json").read_text())["components"]
    assert {"numpy", "aws-lambda-powertools", "boto3"} <= {component["name"] for component in listed}


def test_the_released_template_passes_the_check_of_the_pipeline(
    released: Path, account: Cloud, programs: Path, tmp_path: Path
) -> None:
    done = deploy(released, account, programs)
    assert done.returncode == 0, done.stderr
    (stack,) = account.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    (tmp_path / "outputs.json").write_text(json.dumps({STACK: outputs}))
    checked = subprocess.run(
        [sys.executable, "examples/github-actions/check.py", str(tmp_path / "outputs.json")],
        cwd=ROOT,
        env=os.environ | account.environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "succeeded" in checked.stdout
