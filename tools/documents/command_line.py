"""Generates docs/command-line.md: the help of every command, by typer."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_NAME = "census"
_HEAD = f"""# The command line

`make docs` writes this page from `local/cli.py`. An installed wheel has the command `{_NAME}`; in this repository,
`bin/{_NAME}` and `python -m local` are the same.

"""


def render() -> str:
    """Return the page.

    Raises
    ------
    subprocess.CalledProcessError
        If the command line cannot be imported.
    """
    command = [sys.executable, "-m", "typer", "local.cli", "utils", "docs", "--name", _NAME]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"CENSUS_COMMAND": _NAME}, capture_output=True, text=True, check=True
    )
    _, _, body = done.stdout.partition("\n")
    return _HEAD + body.strip().replace("python -m local", _NAME) + "\n"
