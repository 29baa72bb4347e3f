"""The functions' dependencies as two Lambda layers, bundled by pip without Docker."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsii
from aws_cdk import AssetHashType, BundlingOptions, DockerImage, ILocalBundling
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.sources import PROJECT

RUNTIME = lambda_.Runtime.PYTHON_3_13
"""The functions' Python. The Makefile reads it from this line: ``make handlers`` runs their tests under it."""

PYTHON_VERSION = RUNTIME.name.removeprefix("python")
MEBIBYTE = 1024 * 1024
LAYER_LIMITS_MIB = {"base": 32, "science": 210}
"""The maximum size of each layer; with 8 MiB for the code, they add up to Lambda's limit of 250 MiB unzipped."""

_LAYERS = PROJECT / "layers"
_CONSTRAINTS = PROJECT / "constraints.txt"
_PIP_OPTIONS = (
    "--no-compile",
    "--only-binary=:all:",
    "--implementation=cp",
    # Lambda runs on Amazon Linux 2023, whose glibc 2.34 is compatible with wheels for all of these platforms.
    "--platform=manylinux_2_28_x86_64",
    "--platform=manylinux_2_27_x86_64",
    "--platform=manylinux2014_x86_64",
)
# Parts of wheels that no function imports.
_PRUNED_FOLDERS = ("tests", "__pycache__")
_PRUNED_SUFFIXES = (".pyc", ".pyi", ".pyx", ".pxd")


@jsii.implements(ILocalBundling)
class PipBundling:
    """Installs a layer's pinned requirements for Lambda's platform, on a machine of any platform."""

    def __init__(self, layer: str) -> None:
        self._layer = layer

    def try_bundle(self, output_dir: str, _options: Any) -> bool:
        """Bundle into `output_dir`, and return True so that the CDK does not use Docker."""
        bundle_layer(self._layer, Path(output_dir))
        return True


def bundle_layer(layer: str, output: Path, *, python_version: str = PYTHON_VERSION) -> int:
    """Install a layer's requirements into ``<output>/python``, without the files that are not needed at run time.

    Returns
    -------
    int
        The layer's size in bytes, unzipped.

    Raises
    ------
    RuntimeError
        If pip cannot install the requirements, or the layer is too large for Lambda.
    """
    target = output / "python"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_PIP_OPTIONS]
    command += ["--requirement", str(_LAYERS / layer / "requirements.txt"), "--constraint", str(_CONSTRAINTS)]
    command += ["--python-version", python_version, "--target", str(target)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise RuntimeError(f"layer {layer!r} can't be bundled: {finished.stderr.strip()}")
    _prune(target)
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    limit = LAYER_LIMITS_MIB[layer]
    if size > limit * MEBIBYTE:
        raise RuntimeError(
            f"layer {layer!r} is {size / MEBIBYTE:.0f} MiB unzipped; it may take {limit} of Lambda's 250"
        )
    return size


def _source_hash(layer: str) -> str:
    """Return the hash of all inputs of a layer, including the constraints, which the CDK's own hash would omit."""
    pins = [(_LAYERS / layer / "requirements.txt").read_bytes(), _CONSTRAINTS.read_bytes()]
    return hashlib.sha256(
        b"\0".join([*pins, *(option.encode() for option in (*_PIP_OPTIONS, PYTHON_VERSION))])
    ).hexdigest()


def _prune(target: Path) -> None:
    for folder in [path for path in target.rglob("*") if path.is_dir() and path.name in _PRUNED_FOLDERS]:
        shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(target / "bin", ignore_errors=True)
    for file in [path for path in target.rglob("*") if path.suffix in _PRUNED_SUFFIXES]:
        file.unlink()


class Layers(Construct):
    """The two layers.

    Attributes
    ----------
    base
        The layer of every function: AWS clients, logs, metrics, traces.
    science
        The additional layer of functions that read arrays.
    """

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self.base = self._build("Base", "base")
        self.science = self._build("Science", "science")

    def _build(self, construct_id: str, layer: str) -> lambda_.LayerVersion:
        code = lambda_.Code.from_asset(
            str(_LAYERS / layer),
            # Computed from the pinned requirements, so that the template does not depend on whether layers are bundled.
            asset_hash=_source_hash(layer),
            asset_hash_type=AssetHashType.CUSTOM,
            bundling=BundlingOptions(
                image=DockerImage.from_registry("not-used"),
                local=PipBundling(layer),  # type: ignore[arg-type]  # implements it for jsii, not for Python
            ),
        )
        return lambda_.LayerVersion(
            self,
            construct_id,
            description=f"layers/{layer}/requirements.txt",
            code=code,
            compatible_runtimes=[RUNTIME],
            compatible_architectures=[lambda_.Architecture.X86_64],
        )
