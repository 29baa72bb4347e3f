"""The tables of make bench: merged runs, what got worse, and the part of the document that is written."""

from pathlib import Path
from typing import Any

import pytest

from bench.report import BEGIN, END, merged, worse, write


def row(ratio: float | None, *, seconds: float = 2.0, **more: Any) -> dict[str, Any]:
    return {"name": "Prepare", "rows": 1_000_000, "seconds": seconds, "ratio": ratio, "reference": "polars", **more}


def test_the_noise_is_the_spread_of_the_ratios_divided_by_their_mean() -> None:
    (found,) = merged([[row(2.2)], [row(1.8)]], part="readers")
    assert found["ratio"] == pytest.approx(2.0)
    assert found["noise"] == pytest.approx(0.2)


def test_without_a_reference_the_noise_is_that_of_the_seconds() -> None:
    (found,) = merged([[row(None, seconds=1.0)], [row(None, seconds=1.0)]], part="certainty")
    assert found["noise"] == 0


@pytest.mark.parametrize(("ratio", "reported"), [(1.0, True), (1.9, False), (3.0, False)])
def test_only_a_change_beyond_the_noise_of_both_is_reported(ratio: float, reported: bool) -> None:
    sentences = list(worse({"Prepare": row(ratio, noise=0.05)}, {"Prepare": row(2.0, noise=0.05)}))
    assert bool(sentences) == reported
    assert sentences in ([], ["Prepare: worse by 100%, which is more than the noise of 10%"])


def test_a_figure_that_an_earlier_version_measured_once_is_compared() -> None:
    sentences = list(worse({"Prepare": row(1.0, noise=0.05)}, {"Prepare": row(2.0, noise=None)}))
    assert sentences == ["Prepare: worse by 100%, which is more than the noise of 5%"]


def test_the_document_keeps_everything_outside_the_markers(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    inference = {"setting": "function", "seconds": 390}
    write(document, "a machine.", [row(2.0, noise=0.05, inference=inference)], ["formats"])
    text = document.read_text()
    assert text.startswith(f"before\n{BEGIN}\na machine.\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "| Prepare | 1,000,000 | 2 |  | polars |  |  | 2 | 5% |" in text
    assert "| seconds | 390 |" in text
    assert "Could not be measured this time: formats." in text
    assert "old" not in text


def test_a_document_without_markers_is_refused(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text("no markers")
    with pytest.raises(ValueError, match="lacks the lines"):
        write(document, "", [], [])
