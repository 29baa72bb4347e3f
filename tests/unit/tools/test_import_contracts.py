"""Every contract of import-linter in pyproject.toml is broken by an import that it forbids."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]

VIOLATIONS = {
    "contract imports nothing of ours": ("contract/names.py", "jobs.sagemaker.recordio"),
    "nothing imports census_segmentation, which offers the rest to others": (
        "local/errors.py",
        "census_segmentation.command",
    ),
    "infra imports contract only": ("infra/layers.py", "jobs.census.cells"),
    "jobs import contract only": ("jobs/run/manifest.py", "lambdas.support.errors"),
    "lambdas import jobs and contract only": ("lambdas/prepare.py", "local.errors"),
    "local imports neither the stack nor the handlers": ("local/cli.py", "infra.layers"),
    "embedded_aws imports only the formats of jobs.sagemaker": ("embedded_aws/cloud/server.py", "jobs.segments.kmeans"),
    "only embedded_aws.ministack imports ministack": ("embedded_aws/sagemaker/inference.py", "ministack"),
    "the parts of embedded_aws import in one direction": (
        "embedded_aws/sagemaker/models.py",
        "embedded_aws.cloud.server",
    ),
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what import-linter reports on each broken contract, in a copy of the code that violates all of them."""
    copy = tmp_path_factory.mktemp("violated")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for package in LINTER["root_packages"]:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__", "vendor"))
    for file, imported in VIOLATIONS.values():
        with (copy / file).open("a", encoding="utf-8") as module:
            module.write(f"\nimport {imported}\n")
    linter = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=copy,
        env=os.environ | {"COLUMNS": "200", "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    reports = re.split(r"^(.+)\n-+\n", linter.stdout.partition("Broken contracts")[2], flags=re.MULTILINE)
    return dict(zip(reports[1::2], reports[2::2], strict=True))


@pytest.mark.parametrize("contract", [contract["name"] for contract in LINTER["contracts"]])
def test_a_forbidden_import_breaks_the_contract(contract: str, broken: dict[str, str]) -> None:
    file, imported = VIOLATIONS[contract]
    importer = file.removesuffix(".py").replace("/", ".")
    assert re.search(rf"{importer} -> {imported} \(l\.", broken[contract])
