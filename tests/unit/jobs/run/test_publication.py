"""Whatever Prepare accepts, the rest of the run publishes: CSV in, result files out, without any service."""

import csv
import io
import json

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from contract.run_settings import RunSettings
from jobs.census.problems import InvalidCensus
from tests.census_run import publish_csv

# From denormals to the largest numbers whose squares, summed over the rows, stay finite; Prepare refuses larger ones.
NUMBERS = st.one_of(
    st.integers(0, 10**7).map(str),
    st.floats(0, 100).map(repr),
    st.floats(0, 1e150).map(repr),
    st.sampled_from(["0", "5e-324", "2.2250738585072014e-308", "1e-300", "1e16", "1e100", "1e150"]),
)
NAMES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(
        [
            "Autauga",
            "</script><script>alert(1)</script>",
            '=HYPERLINK("http://x","y")',
            '"quoted", with\na line break',
            "\u202eevil\u202c",
            "\u0085\u009b31m",
            "\u2028",
            "x" * 10_000,
            "TotalPop",
            "IncomePerCapErr",
        ]
    ),
)


@st.composite
def census_files(draw: st.DrawFn) -> str:
    """Draw a census CSV of 2 to 7 features and 3 to 30 rows."""
    features = draw(st.lists(NAMES, min_size=2, max_size=7))
    rows = draw(st.integers(3, 30))
    columns = [draw(st.lists(NUMBERS, min_size=rows, max_size=rows)) for _ in features]
    places = draw(st.lists(NAMES, min_size=rows, max_size=rows))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["State", "County", *features])
    for row, place in enumerate(places):
        writer.writerow([place, place, *(column[row] for column in columns)])
    return text.getvalue()


def two_values(one: str, other: str) -> str:
    """Return a census whose population alternates between two values."""
    rows = "".join(f"S,{i},{one if i % 2 else other},{i % 3}\n" for i in range(9))
    return f"State,County,TotalPop,B\n{rows}"


@budget(max_examples=60, suppress_health_check=list(HealthCheck))
@given(text=census_files(), clusters=st.integers(1, 3))
@example(text=two_values("1e150", "0"), clusters=3)
@example(text=two_values("5e-324", "0"), clusters=3)
@example(text=two_values("1e16", "10000000000000002"), clusters=3)
def test_whatever_prepare_accepts_is_published(text: str, clusters: int, settings: RunSettings) -> None:
    try:
        published = publish_csv(text, clusters=clusters, settings=settings)
    except InvalidCensus:
        return
    segments = json.loads(published.segments)
    labeled = list(csv.reader(io.StringIO(b"".join(published.labeled_counties).decode(), newline="")))
    assert len(labeled) == 1 + segments["rows"]["labeled"]
    assert sum(segment["size"] for segment in segments["segments"]) == segments["rows"]["labeled"]
    assert sum(segment["share"] for segment in segments["segments"]) == pytest.approx(1)
    place = labeled[0].index("segment")
    assert {row[place] for row in labeled[1:]} <= {segment["name"] for segment in segments["segments"]}
    assert published.report.startswith(b"<!DOCTYPE html>")
    assert len(published.notification.message.encode()) <= 256 * 1024
