"""Measures a run of five million rows: its seconds, and the memory of all its processes together.

``python -m bench.large`` for ``make bench``; ``tests/nightly`` checks the limit.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from bench import whole_run
from local import synthetic_census as sample

ROWS = 5_000_000
LIMIT_MB = 3_000


def measure() -> list[dict[str, Any]]:
    """Run the file with the command line; see :func:`bench.whole_run.run`."""
    with tempfile.TemporaryDirectory() as directory:
        csv = Path(directory, "census.csv")
        sample.write(csv, rows=ROWS)
        run = whole_run.run(csv)
    return [
        {
            "name": f"execution, {ROWS:,} rows, all processes together",
            "rows": ROWS,
            "seconds": run["seconds"]["execution"],
            "peak_rss_mb": run["peak_together_mb"],
            "reference": "the limit",
            "reference_peak_rss_mb": LIMIT_MB,
        }
    ]


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
