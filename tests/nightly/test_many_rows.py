"""A run of millions of rows: objects of the embedded AWS are on disk, and rows are read in blocks."""

import pytest

from bench import large


@pytest.mark.timeout(1800)
def test_a_run_of_five_million_rows_stays_within_the_limit_for_all_its_processes() -> None:
    (measured,) = large.measure()
    print(f"5,000,000 rows: {measured['seconds']:.0f} s, {measured['peak_rss_mb']:,} MB at most")
    assert measured["peak_rss_mb"] < large.LIMIT_MB
