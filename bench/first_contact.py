"""Compares installing the requirements of a run with installing everything: ``python -m bench first_contact``.

Both start from a clean checkout with empty caches, so all packages are downloaded each time.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_INPUTS = (
    "Makefile",
    "requirements.txt",
    "requirements-dev.txt",
    "constraints.txt",
    "layers/base/requirements.txt",
    "layers/science/requirements.txt",
    "package.json",
    "package-lock.json",
    "jobs/report/vendor.mjs",
)
_FOR_A_RUN = ("make", ".venv/.ready-to-run", "node_modules/.ready-to-run")
# The commands with which `make run` installed everything before runs and tests had separate requirements.
_EVERYTHING = (
    ("python3", "-m", "venv", ".venv"),
    (".venv/bin/pip", "install", "-q", "-r", "requirements-dev.txt", "-c", "constraints.txt"),
    ("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"),
)

Row = dict[str, Any]


def measure() -> list[Row]:
    """Install both ways, one after the other, each with empty caches.

    Raises
    ------
    subprocess.CalledProcessError
        If a command fails, for example because a registry is unreachable.
    """
    seconds, reference = _install(_FOR_A_RUN), _install(*_EVERYTHING)
    return [
        {
            "name": "installing what a run needs",
            "reference": "everything, with pip",
            "rows": 1,
            "seconds": round(seconds, 1),
            "reference_seconds": round(reference, 1),
            "ratio": round(reference / seconds, 2),
        }
    ]


def _install(*commands: tuple[str, ...]) -> float:
    with tempfile.TemporaryDirectory() as directory:
        checkout, caches = Path(directory, "checkout"), Path(directory, "caches")
        for name in _INPUTS:
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, checkout / name)
        variables = os.environ | {
            "PIP_CACHE_DIR": str(caches / "pip"),
            "UV_CACHE_DIR": str(caches / "uv"),
            "npm_config_cache": str(caches / "npm"),
        }
        start = time.perf_counter()
        for command in commands:
            subprocess.run(command, cwd=checkout, env=variables, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - start


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
