"""Synthesizes this project's CDK app into a cloud assembly.

The template is identical to that of a plain ``npx cdk synth``; only the dependency layers are not built,
which the CDK's own ``aws:cdk:bundling-stacks`` switches off.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
_INPUTS = ("app.py", "cdk.json", "requirements.txt", "contract", "infra", "jobs", "lambdas", "layers")
NODE_VERSION = 20
"""The oldest version of Node.js that synthesizes the stack."""
_NO_SPACE = os.strerror(errno.ENOSPC)
_CLI_SWITCHES = {
    "pathMetadata": "aws:cdk:enable-path-metadata",
    "assetMetadata": "aws:cdk:enable-asset-metadata",
    "versionReporting": "aws:cdk:version-reporting",
}


class SynthError(UserError):
    """The app could not be synthesized; the message is the last line that the app printed."""


def synth(outdir: Path, context: Mapping[str, Any] | None = None, *, bundle: bool = False, reuse: bool = True) -> Path:
    """Synthesize the app into ``outdir`` and return it.

    Parameters
    ----------
    outdir
        The cloud assembly's directory, as in ``cdk synth --output``.
    context
        Context that is added to the context in ``cdk.json``, as in ``cdk --context``. If ``segmentation`` is
        given, its keys replace the same keys in ``cdk.json``; the other keys stay.
    bundle
        Whether the dependency layers are built.
    reuse
        Whether an existing assembly is returned unchanged if it was made from the same files and context.

    Raises
    ------
    SynthError
        If the app fails, for example because of an invalid setting.
    OSError
        If the directory cannot be written, with ``errno.ENOSPC`` if its disk is full.
    """
    outdir = outdir.resolve()
    full_context = _context(context or {}, bundle=bundle)
    fingerprint = _fingerprint(full_context)
    stamp = outdir / ".fingerprint"
    with _exclusive(outdir):
        if not (reuse and stamp.exists() and stamp.read_text() == fingerprint):
            stamp.unlink(missing_ok=True)
            _run_app(outdir, full_context)
            stamp.write_text(fingerprint)
    return outdir


@contextmanager
def _exclusive(outdir: Path) -> Iterator[None]:
    """Hold a lock on the directory, so that concurrent callers with the same inputs synthesize only once."""
    outdir.mkdir(parents=True, exist_ok=True)
    with (outdir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run_app(outdir: Path, context: Mapping[str, Any]) -> None:
    _require_node()
    variables = os.environ | {
        "CDK_OUTDIR": str(outdir),
        "CDK_CONTEXT_JSON": json.dumps(context),
        # The CDK's own template validation takes longer than everything else; the tests run cfn-lint and cdk-nag.
        "CDK_VALIDATION": "false",
        "NODE_NO_WARNINGS": "1",
    }
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        if lines and _NO_SPACE.lower() in lines[-1].lower():  # the CDK's own error, from Node.js, has another case
            raise OSError(errno.ENOSPC, _NO_SPACE, str(outdir))
        raise SynthError(lines[-1] if lines else f"app.py ended with exit code {done.returncode}")


def node_version() -> int | None:
    """Return the major version of the Node.js on the PATH; ``None`` if there is none."""
    node = shutil.which("node")
    if node is None:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.match(r"v(\d+)\.", version)
    return int(match[1]) if match else None


def _require_node() -> None:
    """Check for Node.js, because the CDK's own error does not name it."""
    needed = f"Node.js {NODE_VERSION} or newer is needed to synthesize the stack"
    node = shutil.which("node")
    if node is None:
        raise SynthError(f"{needed}; there is no node on the PATH")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    if not (match := re.match(r"v(\d+)\.", version)) or int(match[1]) < NODE_VERSION:
        raise SynthError(f"{needed}; {node} is version {version or 'unknown'}")


def _context(context: Mapping[str, Any], *, bundle: bool) -> dict[str, Any]:
    """Return the context that the CDK CLI would pass to the app."""
    settings = json.loads((ROOT / "cdk.json").read_text())
    merged: dict[str, Any] = dict(settings.get("context", {}))
    for name, key in _CLI_SWITCHES.items():
        if settings.get(name, True):
            merged[key] = True
    if not bundle:
        merged["aws:cdk:bundling-stacks"] = []
    for key, value in context.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = {**merged[key], **value} if both else value
    return merged


def _fingerprint(context: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps([context, sys.version], sort_keys=True).encode())
    for name in _INPUTS:
        top = ROOT / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(ROOT)}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
