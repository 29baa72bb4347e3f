"""Where the recorded run's files are, and the marks of tests that need them.

They belong to others and are never committed: they stand in ``../shared``, or ``CENSUS_CSV`` names the census file.
"""

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
SHARED = PROJECT.parent / "shared"
CENSUS_2015 = Path(os.environ.get("CENSUS_CSV", SHARED / "data" / "Census_Data_for_SageMaker.csv"))
CENSUS_2017 = Path(os.environ.get("CENSUS_2017_CSV", SHARED / "data" / "acs2017_county_data.csv"))
GOLDEN = SHARED / "reference" / "golden.json"

needs_census = pytest.mark.skipif(
    not CENSUS_2015.exists(),
    reason=f"the recorded run's census file is not at {CENSUS_2015}: say where it is with CENSUS_CSV=path",
)
needs_census_2017 = pytest.mark.skipif(
    not CENSUS_2017.exists(),
    reason=f"the census file of 2017 is not at {CENSUS_2017}: say where it is with CENSUS_2017_CSV=path",
)
needs_recorded_run = pytest.mark.skipif(
    not (CENSUS_2015.exists() and GOLDEN.exists()),
    reason=f"the recorded run's census file or figures are not at {CENSUS_2015} and {GOLDEN}: "
    "say where the file is with CENSUS_CSV=path, and put the figures there",
)
