"""The report of the synthetic sample, as a file."""

from pathlib import Path

import pandas as pd

from jobs.report import render
from local import synthetic_census as sample
from tests.census_run import report_of, segment_table


def sample_report(directory: Path) -> Path:
    """Segment the synthetic sample and write its report."""
    path = directory / "sample-report.html"
    run = segment_table(pd.DataFrame(sample.draw().table), kept=7)
    path.write_text(render(report_of(run)), encoding="utf-8")
    return path
