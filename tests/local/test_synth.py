"""Synthesizing the app as the CDK CLI does."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from local import synth as synthesis
from local.synth import ROOT, SynthError, synth


def test_a_setting_that_cannot_be_ends_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SynthError, match="clusters") as raised:
        synth(tmp_path, {"segmentation": {"clusters": -3}})
    assert "\n" not in str(raised.value)


def test_an_assembly_is_used_again_until_something_changes(assembly: Path) -> None:
    before = (assembly / "manifest.json").stat().st_mtime_ns
    assert synth(assembly) == assembly
    assert (assembly / "manifest.json").stat().st_mtime_ns == before


def test_two_that_want_the_same_assembly_at_once_make_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[object] = []
    run_app = synthesis._run_app

    def counted(*arguments: Any) -> None:
        runs.append(arguments)
        run_app(*arguments)

    monkeypatch.setattr(synthesis, "_run_app", counted)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(synth, [tmp_path] * 2)) == [tmp_path] * 2
    assert len(runs) == 1


@pytest.mark.slow
def test_the_template_is_that_of_a_plain_synth(assembly: Path, tmp_path: Path) -> None:
    if not (npx := shutil.which("npx")):
        pytest.skip("npx is missing")
    # `list` synthesizes as `synth` does, but builds no layers; these are named after their sources.
    subprocess.run([npx, "cdk", "list", "--output", str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    [ours] = assembly.glob("*.template.json")
    [theirs] = tmp_path.glob("*.template.json")
    assert ours.read_bytes() == theirs.read_bytes()
