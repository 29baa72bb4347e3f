"""Measures a run of five million rows: its seconds, and the memory of all its processes together.

``python -m bench.large`` for ``make bench``; ``tests/nightly`` checks the limit.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from local import synthetic_census as sample
from tests.local.memory import Memory

ROOT = Path(__file__).parents[1]
ROWS = 5_000_000
LIMIT_MB = 3_000

Row = dict[str, Any]


def measure() -> list[Row]:
    """Run the file with the command line.

    Raises
    ------
    RuntimeError
        If the run fails.
    """
    with tempfile.TemporaryDirectory() as directory:
        csv = Path(directory, "census.csv")
        sample.write(csv, rows=ROWS)
        command = [sys.executable, "-m", "local", "run", str(csv), "--out", f"{directory}/out", "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
        with Memory(process.pid) as memory:
            answer, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {answer}")
    seconds = json.loads(answer)["seconds"]["execution"]
    return [
        {
            "name": "execution, 5,000,000 rows, all processes together",
            "rows": ROWS,
            "seconds": seconds,
            "peak_rss_mb": round(memory.peak),
            "reference": "the limit",
            "reference_peak_rss_mb": LIMIT_MB,
        }
    ]


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
