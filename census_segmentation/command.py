"""The console script ``census``, which an installed wheel provides."""

import os
from pathlib import Path


def main() -> None:
    """Run the command line; what it writes goes to the current folder instead of the folder of the package."""
    os.environ.setdefault("CENSUS_COMMAND", "census")
    os.environ.setdefault("CENSUS_HOME", str(Path.cwd() / ".local"))
    os.environ.setdefault("CENSUS_ASSEMBLY", str(Path.cwd() / "cdk.out"))
    from local.cli import main as run  # noqa: PLC0415 - reads these variables when it is imported

    run()
