"""The wheel, installed into an empty environment, serves an app in a folder without this repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
# Stands before the app's last line, which synthesizes it.
NAG = """
from aws_cdk import Validations, aws_sns
from cdk_nag import AwsSolutionsChecks, ServerlessChecks
Validations.of(app).add_plugins(AwsSolutionsChecks(app), ServerlessChecks(app))
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment that holds the wheel, and what its tests and checks need."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    programs: Path = folder / "venv" / "bin"
    packages = [f"{wheel}[rehearsal]", "pytest", "cdk-nag", "cfn-lint"]
    install = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([programs / "python", *install, *packages], check=True)
    return programs


def run(programs: Path, folder: Path, *command: str | Path, **variables: str) -> str:
    """Run a program of the environment in a folder and return what it printed."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON", "PYTEST_"))}
    done = subprocess.run(
        [programs / command[0], *command[1:]],
        cwd=folder,
        env=mine | {"PATH": f"{programs}:{mine['PATH']}", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty folder with nothing but the example."""
    return Path(shutil.copytree(EXAMPLES / "construct", tmp_path / "project"))


def nag_findings(programs: Path, project: Path, addition: str = "") -> set[str]:
    """Return the rules that the app breaks, after an addition to it."""
    source = (project / "app.py").read_text()
    assert source.endswith("app.synth()\n")
    lines = source.removesuffix("app.synth()\n") + NAG + addition
    (project / "checked.py").write_text(
        f"{lines}\ntry:\n    app.synth()\nexcept RuntimeError as error:\n    assert 'ValidationFailed' in str(error)\n"
    )
    variables = {"CDK_OUTDIR": str(project / "cdk.out"), "CDK_CONTEXT_JSON": '{"aws:cdk:bundling-stacks": []}'}
    run(programs, project, "python", "checked.py", CDK_VALIDATION="false", **variables)
    report = json.loads((project / "cdk.out" / "validation-report.json").read_text())
    return {violation["ruleName"] for pack in report["pluginReports"] for violation in pack["violations"]}


def test_the_app_passes_cdk_nag_and_cfn_lint(installed: Path, project: Path) -> None:
    assert nag_findings(installed, project) == set()
    config = ROOT / ".cfnlintrc.yaml"
    run(installed, project, "cfn-lint", "--config-file", str(config), "cdk.out/Analysis.template.json")
    assert nag_findings(installed, project, 'aws_sns.Topic(stack, "Plain")') == {"AwsSolutions-SNS3"}


def test_the_foreign_example_is_rehearsed_by_one_command(installed: Path, tmp_path: Path) -> None:
    project = Path(shutil.copytree(EXAMPLES / "rehearsal", tmp_path / "project"))
    assert "1 passed" in run(installed, project, "pytest", "-q", "-p", "no:cacheprovider")


def test_the_app_labels_a_csv_in_the_embedded_aws(installed: Path, project: Path) -> None:
    assert "1 passed" in run(installed, project, "pytest", "-q", "-p", "no:cacheprovider")


def test_the_command_runs_the_whole_stack(installed: Path, tmp_path: Path) -> None:
    run(installed, tmp_path, "census", "run", "--quiet", "--out", "out")
    labeled = (tmp_path / "out" / "labeled_counties.csv").read_bytes()
    assert labeled.count(b"\n") == 3_219  # a header, and 3,220 counties without the two that have gaps
    assert (tmp_path / "out" / "report.html").exists()
