"""Finds the source files that the functions are deployed from."""

from pathlib import Path

PROJECT = Path(__file__).parents[1]
"""Holds ``cdk.json``, ``constraints.txt`` and ``layers/``."""

# A wheel holds the functions' source files unchanged in a folder of its own, because it rewrites the imports of the
# packages that are imported from it.
FUNCTIONS = next(folder for folder in (PROJECT / "functions", PROJECT) if (folder / "lambdas").is_dir())
"""Holds ``contract/``, ``jobs/`` and ``lambdas/`` as they run in a function."""
