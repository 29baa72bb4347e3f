"""A release, deployed by its script with the AWS CLI alone, labels a CSV."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded_aws.cloud.deploy import Outputs
from embedded_aws.cloud.instance import Cloud
from infra.settings import Settings
from tests.local.runs import Runs
from tools.release.__main__ import settings_of, write_release

ROOT = Path(__file__).parents[2]
# The AWS CLI has an environment of its own, which `make conformance` installs.
CLI = ROOT / ".venv-conformance" / "bin"
STACK = "census-segmentation"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a release whose layers are not built, which the embedded AWS does not need."""
    folder = tmp_path_factory.mktemp("release") / "dist"
    write_release(folder, Settings(), bundle=False)
    return folder


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An embedded AWS that nothing is deployed in."""
    with Cloud.start(tmp_path_factory.mktemp("account")) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the only programs that the script may use."""
    folder = tmp_path_factory.mktemp("programs")
    assert (CLI / "aws").exists(), "the AWS CLI is missing; run make conformance"
    (folder / "aws").symlink_to(CLI / "aws")
    for name in ("dirname", "sed"):
        (folder / name).symlink_to(shutil.which(name) or name)
    return folder


def deploy(released: Path, account: Cloud, programs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script."""
    variables = {"PATH": str(programs), "HOME": str(account.directory), **account.environment()}
    script = [str(released / "deploy.sh"), *arguments]
    return subprocess.run(script, env=variables, capture_output=True, text=True, check=False)


def test_the_released_template_labels_a_csv(released: Path, account: Cloud, programs: Path) -> None:
    first = deploy(released, account, programs)
    assert first.returncode == 0, first.stderr
    stack = account.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    runs = Runs(account, Outputs(STACK, {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}))
    assert runs.incoming in first.stdout, "the script prints the stack's outputs"

    run = runs.upload("released.csv")
    assert runs.end(run)["status"] == "SUCCEEDED"
    assert runs.has_correct_labels(run)

    again = deploy(released, account, programs)
    assert again.returncode == 0, again.stderr
    assert "No changes to deploy" in again.stdout + again.stderr


def test_a_template_with_other_settings_is_deployed_beside_it(account: Cloud, programs: Path, tmp_path: Path) -> None:
    write_release(tmp_path, settings_of(["stage=prod", "clusters=6"]), bundle=False)
    done = deploy(tmp_path, account, programs)
    assert done.returncode == 0, done.stderr
    (stack,) = account.client("cloudformation").describe_stacks(StackName="census-seg-prod")["Stacks"]
    variables = account.client("lambda").get_function(FunctionName="census-seg-prod-label")["Configuration"]
    assert json.loads(variables["Environment"]["Variables"]["RUN_SETTINGS"])["clusters"] == 6
    assert stack["StackStatus"] == "CREATE_COMPLETE"


def test_the_script_explains_itself_when_an_option_is_unknown(released: Path, account: Cloud, programs: Path) -> None:
    done = deploy(released, account, programs, "--help")
    assert done.returncode == 2
    assert "--bucket" in done.stdout


def test_the_checksums_cover_every_other_file(released: Path) -> None:
    lines = (released / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = {str(path.relative_to(released)): path for path in released.rglob("*") if path.is_file()}
    assert set(files) - set(listed) == {"SHA256SUMS"}
    assert all(hashlib.sha256(files[name].read_bytes()).hexdigest() == digest for name, digest in listed.items())


def test_the_schemas_of_the_files_are_released(released: Path) -> None:
    assert json.loads((released / "schemas" / "segments.schema.json").read_text())["title"] == "segments.json"


def test_the_sboms_name_what_the_wheel_installs_and_what_the_report_contains(released: Path) -> None:
    def packages(part: str) -> set[str]:
        document = json.loads((released / "sbom" / f"{part}.cdx.json").read_text())
        assert document["bomFormat"] == "CycloneDX"
        return {component["purl"].partition("@")[0] for component in document["components"]}

    assert packages("wheel") >= {"pkg:pypi/aws-cdk-lib", "pkg:pypi/jsii", "pkg:pypi/ministack", "pkg:pypi/botocore"}
    assert packages("wheel").isdisjoint({"pkg:pypi/pytest", "pkg:pypi/mypy"})
    assert packages("report") >= {"pkg:npm/vega", "pkg:npm/us-atlas", "pkg:npm/d3-array"}
    assert "pkg:npm/aws-cdk" not in packages("report")
