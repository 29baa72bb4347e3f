"""The genuine CDK command line against the embedded AWS: bootstrap, deploy, diff, update, destroy.

IAM isn't enforced here: the bootstrap roles' policies are conditioned on ``aws:ResourceAccount``, which
the embedded AWS doesn't know. The assemblies are synthesized beforehand, without layers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.cloud.instance import Cloud
from local.synth import ROOT, synth

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("npx") is None, reason="npx is missing"),
]

Cdk = Callable[..., "subprocess.CompletedProcess[str]"]
STACK = "census-segmentation"


@pytest.fixture(scope="module")
def open_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An embedded AWS without IAM."""
    with Cloud.start(tmp_path_factory.mktemp("open"), auth=False, record_calls=False) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def cdk(open_cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Cdk:
    """Run the pinned CLI; return what it wrote."""
    home = tmp_path_factory.mktemp("home")
    mine = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    variables = {**mine, **open_cloud.environment(), "HOME": str(home), "CI": "true", "NO_COLOR": "1"}

    def run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["npx", "cdk", *arguments, "--no-notices"],
            cwd=ROOT,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    return run


@pytest.mark.parametrize(("target", "command"), [("bootstrap", "cdk bootstrap"), ("deploy", "cdk deploy")])
def test_make_installs_the_packages_of_the_app_before_the_cdk_runs_it(target: str, command: str) -> None:
    """`cdk bootstrap` runs the app too. `--always-make` prints what make does in a clone that has nothing yet."""
    made = subprocess.run(
        ["make", "--dry-run", "--always-make", target], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert -1 < made.find("-r requirements.txt") < made.find("npm ci") < made.find(command)


def test_the_stack_lives_its_whole_life_by_the_command_line(
    open_cloud: Cloud, cdk: Cdk, assembly: Path, tmp_path: Path
) -> None:
    cloudformation = open_cloud.client("cloudformation")

    def resources() -> dict[str, Any]:
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=STACK)
        found = (resource for page in pages for resource in page["StackResourceSummaries"])
        return {resource["LogicalResourceId"]: resource for resource in found}

    cdk("bootstrap", f"aws://{open_cloud.account}/{open_cloud.region}")
    cdk("deploy", "--app", str(assembly), "--require-approval", "never")
    deployed = resources()
    assert {resource["ResourceStatus"] for resource in deployed.values()} == {"CREATE_COMPLETE"}
    assert open_cloud.client("lambda").get_function(FunctionName=f"{STACK}-prepare")

    assert cdk("diff", "--app", str(assembly), "--fail").returncode == 0

    changed = synth(tmp_path / "changed", {"segmentation": {"clusters": 7}})
    assert cdk("diff", "--app", str(changed), "--fail", check=False).returncode == 1
    cdk("deploy", "--app", str(changed), "--require-approval", "never")
    settings = open_cloud.client("lambda").get_function(FunctionName=f"{STACK}-launch-training")["Configuration"]
    assert json.loads(settings["Environment"]["Variables"]["RUN_SETTINGS"])["clusters"] == 7
    assert {name: each["PhysicalResourceId"] for name, each in resources().items()} == {
        name: each["PhysicalResourceId"] for name, each in deployed.items()
    }

    cdk("destroy", "--app", str(changed), "--force")
    stacks = cloudformation.list_stacks(StackStatusFilter=["CREATE_COMPLETE", "UPDATE_COMPLETE"])["StackSummaries"]
    assert STACK not in {stack["StackName"] for stack in stacks}
    assert not open_cloud.client("lambda").list_functions()["Functions"]
    assert not open_cloud.client("stepfunctions").list_state_machines()["stateMachines"]
    assert not open_cloud.client("events").list_rules(NamePrefix=STACK)["Rules"]
    kept = {bucket["Name"] for bucket in open_cloud.client("s3").list_buckets()["Buckets"]}
    retained = {each["PhysicalResourceId"] for each in deployed.values() if each["ResourceType"] == "AWS::S3::Bucket"}
    assert retained <= kept, "people's data stays"
