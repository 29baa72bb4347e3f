"""Synth: the same template whoever runs it, wherever, and layers that Lambda takes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.layers import LAYER_LIMITS_MIB, MEBIBYTE, PYTHON_VERSION, bundle_layer
from tests.infra.synthesis import ROOT

TEMPLATE = "census-segmentation.template.json"


def without_credentials() -> dict[str, str]:
    """Return this environment without a trace of AWS."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": "/nonexistent",
        "CDK_VALIDATION": "false",
    }


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a local run synthesizes: app.py by itself, no layer bundled."""
    outdir = tmp_path_factory.mktemp("plain")
    variables = {"CDK_OUTDIR": str(outdir), "CDK_CONTEXT_JSON": '{"aws:cdk:bundling-stacks": []}'}
    subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=without_credentials() | variables, check=True)
    return outdir


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a deployment synthesizes: the CDK CLI, with both layers bundled."""
    outdir = tmp_path_factory.mktemp("genuine")
    subprocess.run(
        [ROOT / "node_modules/.bin/cdk", "synth", "--quiet", "--output", str(outdir)],
        cwd=ROOT,
        env=without_credentials() | {"HOME": str(tmp_path_factory.mktemp("home"))},
        check=True,
        capture_output=True,
        timeout=280,
    )
    return outdir


@pytest.mark.slow
def test_the_cli_and_a_local_run_synthesize_the_same_template_to_the_byte(plain: Path, genuine: Path) -> None:
    assert (plain / TEMPLATE).read_bytes() == (genuine / TEMPLATE).read_bytes()


def test_the_template_says_nothing_of_the_machine_it_was_made_on(plain: Path) -> None:
    template = (plain / TEMPLATE).read_text()
    assert str(ROOT) not in template
    assert str(Path.home()) not in template
    assert "aws:asset:path" not in template
    assert "aws:cdk:path" not in template


def test_synth_needs_neither_account_nor_region(plain: Path) -> None:
    manifest = json.loads((plain / "manifest.json").read_text())
    assert manifest["artifacts"]["census-segmentation"]["environment"] == "aws://unknown-account/unknown-region"
    assert "missing" not in manifest


def test_the_functions_code_is_handlers_and_jobs_and_nothing_else(plain: Path) -> None:
    (code,) = (each for each in plain.iterdir() if (each / "lambdas").is_dir())
    assert {each.name for each in code.iterdir()} == {"contract", "jobs", "lambdas"}
    assert not list(code.rglob("__pycache__"))
    size = sum(file.stat().st_size for file in code.rglob("*") if file.is_file())
    assert size < (250 - sum(LAYER_LIMITS_MIB.values())) * MEBIBYTE


@pytest.mark.slow
def test_bundled_layers_hold_linux_wheels_of_the_functions_python_and_no_tests(genuine: Path) -> None:
    layers = [each / "python" for each in genuine.iterdir() if (each / "python").is_dir()]
    assert len(layers) == 2
    assert sum(file.stat().st_size for layer in layers for file in layer.rglob("*") if file.is_file()) < 242 * MEBIBYTE
    tag = f"cpython-{PYTHON_VERSION.replace('.', '')}-x86_64-linux-gnu"
    (numpy,) = (layer / "numpy" for layer in layers if (layer / "numpy").is_dir())
    assert all(tag in file.name for file in numpy.rglob("*.so"))
    for unwanted in ("tests", "__pycache__"):
        assert not [folder for layer in layers for folder in layer.rglob(unwanted)]


def test_make_handlers_uses_the_python_of_every_function_in_the_template(plain: Path) -> None:
    template = json.loads((plain / TEMPLATE).read_text())
    functions = [each for each in template["Resources"].values() if each["Type"] == "AWS::Lambda::Function"]
    tested = subprocess.run(
        ["make", "--silent", "functions-python"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    assert {each["Properties"]["Runtime"] for each in functions} == {f"python{tested}"}


@pytest.mark.slow
def test_every_handler_can_be_imported_from_the_pruned_layers(tmp_path: Path) -> None:
    """The layers are bundled for this interpreter; ``make handlers`` runs this test under the functions' Python."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for layer in ("base", "science"):
        bundle_layer(layer, tmp_path / layer, python_version=version)
    handlers = [file.stem for file in (ROOT / "lambdas").glob("[!_]*.py")]
    paths = [str(tmp_path / "base" / "python"), str(tmp_path / "science" / "python"), str(ROOT)]
    code = f"import sys; sys.path += {paths}\n" + "\n".join(f"from lambdas.{name} import handler" for name in handlers)
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, env={"AWS_REGION": "us-east-1"})


def test_a_layer_that_has_grown_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.layers.subprocess.run", lambda command, **_: _install_a_mebibyte(command))
    monkeypatch.setitem(LAYER_LIMITS_MIB, "base", 0)
    with pytest.raises(RuntimeError, match="layer 'base' is 1 MiB unzipped; it may take 0"):
        bundle_layer("base", tmp_path)


def _install_a_mebibyte(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    target = Path(command[command.index("--target") + 1])
    target.mkdir(parents=True)
    (target / "module.py").write_bytes(b"#" * MEBIBYTE)
    return subprocess.CompletedProcess(command, 0)
