"""``run``: one CSV through the whole stack, told as people and programs want it, with nothing left behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from local import results
from local import synthetic_census as sample

CENSUS = Path(__file__).parents[2] / "bin" / "census"


@dataclass
class Shell:
    """Runs the command line in a folder of its own, as a user would."""

    home: Path

    def __call__(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(CENSUS), *arguments],
            cwd=self.home,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [str(CENSUS), *arguments],
            cwd=self.home,
            env=self.environment(PYTHONUNBUFFERED="1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def environment(self, **more: str) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if name not in {"FORCE_COLOR", "NO_COLOR"}}
        return plain | {"CENSUS_HOME": str(self.home / ".local")} | more


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(tmp_path_factory.mktemp("shell"))


@pytest.fixture(scope="module")
def finished(shell: Shell) -> "subprocess.CompletedProcess[str]":
    return shell("run", "--out", "out")


def clouds_of(process: psutil.Process) -> list[psutil.Process]:
    found = process.children(recursive=True)
    return [child for child in found if "embedded_aws.cloud.server" in " ".join(child.cmdline())]


def first_line_with(text: str, stream: Any) -> str:
    for line in stream:
        if text in line:
            return str(line)
    raise AssertionError(f"no line has {text!r}")


def test_a_run_ends_well_and_says_so_without_a_word_on_stderr(finished: "subprocess.CompletedProcess[str]") -> None:
    assert (finished.returncode, finished.stderr) == (0, "")


def test_a_run_tells_each_step_with_its_time_and_what_it_waits_for(
    finished: "subprocess.CompletedProcess[str]",
) -> None:
    for step in ("Start", "Synthesize", "Deploy", "Prepare", "Train PCA", "Host PCA", "Project", "Train k-means"):
        assert re.search(rf"^\[ *\d+\.\d s\] {step}: waiting for \w+", finished.stdout, re.M), step
        assert re.search(rf"^\[ *\d+\.\d s\] {step}: done in \d+\.\d s$", finished.stdout, re.M), step
    for step in ("Host k-means", "Label", "Tear down PCA", "Tear down k-means", "Publish"):
        assert f"{step}: done" in finished.stdout, step


def test_a_run_shows_segments_dropped_rows_and_that_the_census_is_synthetic(
    finished: "subprocess.CompletedProcess[str]", shell: Shell
) -> None:
    segments = json.loads((shell.home / "out/segments.json").read_text())
    assert "3,218 of 3,220 rows labeled" in finished.stdout
    for segment in segments["segments"]:
        assert f"{segment['size']:,}" in finished.stdout
    for region in segments["dropped_regions"]:
        assert region["name"] in finished.stdout
    assert "this is a synthetic census: real county names, invented figures" in finished.stdout


def test_a_run_says_that_nothing_is_left_and_where_the_time_went(
    finished: "subprocess.CompletedProcess[str]",
) -> None:
    assert "Nothing is left in SageMaker" in finished.stdout
    assert re.search(r"s in all: start .* synth .* deploy .* execution ", finished.stdout)


def test_a_run_copies_the_result_files_and_names_them(
    finished: "subprocess.CompletedProcess[str]", shell: Shell
) -> None:
    for name in (results.REPORT, results.LABELED, results.SEGMENTS, results.MANIFEST):
        assert (shell.home / "out" / name).stat().st_size > 0
        assert f"out/{name}" in finished.stdout


def test_nothing_is_coloured_or_animated_where_nobody_watches(finished: "subprocess.CompletedProcess[str]") -> None:
    assert "\x1b" not in finished.stdout


def test_a_county_is_explained_from_a_results_folder(
    finished: "subprocess.CompletedProcess[str]", shell: Shell
) -> None:
    told = shell("explain", "california-SAN FRANCISCO", "--dir", "out")
    assert told.returncode == 0
    assert re.match(r"California-San Francisco \(6075\) is in segment \d: ", told.stdout)
    assert "runner-up" in told.stdout
    assert "synthetic census" in told.stdout


def test_a_misspelt_county_gets_suggestions(finished: "subprocess.CompletedProcess[str]", shell: Shell) -> None:
    told = shell("explain", "California-San Fransisco", "--dir", "out")
    assert told.returncode == 1
    assert told.stderr.startswith("error: no county is called 'California-San Fransisco'; did you mean ")
    assert "California-San Francisco" in told.stderr


def test_two_counties_are_compared_feature_by_feature(
    finished: "subprocess.CompletedProcess[str]", shell: Shell
) -> None:
    told = shell("compare", "Alabama-Autauga", "6075", "--dir", "out")
    assert told.returncode == 0
    for heading in ("Alabama-Autauga", "California-San Francisco", "Income", "SD"):
        assert heading in told.stdout


def test_quiet_prints_one_line_and_json_one_document(shell: Shell) -> None:
    csv = shell.home / "own census.csv"
    sample.write(csv, seed=3)
    quiet = shell("run", csv.name, "--quiet")
    assert quiet.returncode == 0, quiet.stderr
    found = re.fullmatch(r"3,218 rows in 8 segments: (results/own-census-\w{10})\n", quiet.stdout)
    assert found
    assert (shell.home / found[1] / results.REPORT).exists()

    told = shell("run", csv.name, "--json", "--set", "clusters=6", "--out", "six")
    document = json.loads(told.stdout)
    assert (told.returncode, told.stderr) == (0, "")
    assert document["status"] == "SUCCEEDED"
    assert document["rows"] == {"read": 3220, "dropped": 2, "labeled": 3218}
    assert len(document["segments"]) == 6
    assert document["left_in_sagemaker"] == []
    assert set(document["seconds"]) == {"start", "synth", "deploy", "execution", "total"}
    assert document["seconds"]["total"] > document["seconds"]["execution"] > 0
    assert [step["name"] for step in document["steps"]][:3] == ["Prepare", "Train PCA", "Host PCA"]
    assert not document["synthetic"]


def test_a_file_that_is_no_census_is_refused_with_its_problems(shell: Shell) -> None:
    (shell.home / "prices.csv").write_text("item,price\npen,2\n")
    told = shell("run", "prices.csv", "--quiet", "--out", "refused")
    assert told.returncode == 1
    first, *problems = told.stderr.splitlines()
    assert first == "error: prices.csv was refused (all problems: refused/problems.json)"
    assert any("no column State" in problem for problem in problems)
    assert (shell.home / "refused/failure.json").exists()


def test_a_failed_run_tells_the_first_error_and_where_the_rest_is(shell: Shell) -> None:
    told = shell("run", "--json", "--out", "failed", "--fault", "CreateEndpoint@kmeans:denied")
    document = json.loads(told.stdout)
    assert told.returncode == 1
    assert document["status"] == "FAILED"
    assert document["error"]["phase"] == "KMeans"
    assert "AccessDenied" in document["error"]["name"]
    assert document["left_in_sagemaker"] == []
    outcomes = {step["name"]: step["outcome"] for step in document["steps"]}
    assert outcomes["Host k-means"] == "failed"
    assert outcomes["Train k-means"] == outcomes["Clean up k-means"] == "done"
    (line,) = told.stderr.splitlines()
    assert "failed in KMeans: AccessDenied" in line
    assert line.endswith("(details: failed/failure.json)")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent.csv"], "error: absent.csv doesn't exist; give a census CSV, or none for a synthetic one"),
        (["."], "error: . is a folder; give a CSV file"),
        (["--pace", "hurry"], "error: --pace: pace 'hurry' is not understood"),
        (["--set", "clusters"], "error: --set 'clusters' is not understood; write key=value"),
        (["--set", "clusters=1"], "error: a setting can't be: clusters is 1: "),
        (["--fault", "CreateEndpoint:nope"], "error: --fault: fault 'CreateEndpoint:nope': "),
    ],
)
def test_what_cannot_be_run_is_told_in_one_line(shell: Shell, arguments: list[str], said: str) -> None:
    told = shell("run", "--quiet", *arguments)
    assert (told.returncode, told.stdout) == (1, "")
    (line,) = told.stderr.splitlines()
    assert line.startswith(said)


def test_an_output_folder_that_is_a_file_is_told_before_anything_starts(shell: Shell) -> None:
    (shell.home / "taken").write_text("")
    told = shell("run", "--out", "taken")
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == "error: --out taken is a file; give a folder\n"


def test_a_file_that_cannot_be_read_is_told_why(shell: Shell) -> None:
    (shell.home / "plain").write_text("")
    told = shell("run", "plain/census.csv")
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == "error: plain/census.csv can't be read: Not a directory\n"


def test_a_busy_port_is_told_in_one_line(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = shell("run", "--quiet", "--port", str(port))
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == f"error: port {port} of 127.0.0.1 is busy; choose another, or 0 for a free one\n"


def test_an_unforeseen_error_shows_no_traceback(shell: Shell) -> None:
    (shell.home / "broken").mkdir()
    for name in (results.LABELED, results.SEGMENTS):
        (shell.home / "broken" / name).write_text("{}")
    told = shell("explain", "1001", "--dir", "broken")
    assert told.returncode == 1
    (line,) = told.stderr.splitlines()
    assert line.startswith("error: unexpected ")
    assert f"the details are in {shell.home / '.local' / 'error.log'}" in line


@pytest.fixture
def waiting(shell: Shell) -> Iterator["subprocess.Popen[str]"]:
    """A run whose training takes an hour."""
    process = shell.begin("run", "--pace", "training=3600", "--out", "interrupted")
    try:
        first_line_with("Train PCA: waiting", process.stdout)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_stops_everything_it_started(
    waiting: "subprocess.Popen[str]", number: signal.Signals, code: int
) -> None:
    started = psutil.Process(waiting.pid).children(recursive=True)
    assert clouds_of(psutil.Process(waiting.pid))
    waiting.send_signal(number)
    _, errors = waiting.communicate(timeout=30)
    assert waiting.returncode == code
    assert errors == "error: interrupted; nothing that this command started is left running\n"
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []


def test_help_comes_at_once_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, time; sys.argv = ['x', '--help']\n"
        "from local.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted(set(sys.modules) & {'boto3', 'botocore', 'numpy', 'pandas', 'sklearn', 'ministack', 'altair'}))"
    )
    began = time.monotonic()
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=CENSUS.parents[1], capture_output=True, text=True, check=True
    )
    assert told.stdout.splitlines()[-1] == "[]"
    assert "synthetic census" in told.stdout
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("command", ["run", "up", "explain", "compare", "sample"])
def test_help_of_a_command_has_an_example(shell: Shell, command: str) -> None:
    text = shell(command, "--help").stdout
    assert "Example" in text
    assert f"python -m local {command}" in text


def test_a_shell_completes_commands(shell: Shell) -> None:
    told = shell(_CENSUS_COMPLETE="complete_bash", COMP_WORDS="census ru", COMP_CWORD="1")
    assert told.stdout.split() == ["run", "runs"]


def test_a_sample_is_written_and_said_to_be_synthetic(shell: Shell) -> None:
    told = shell("sample", "--rows", "5", "--out", "five.csv")
    assert told.stdout == "five.csv: synthetic census: real county names, invented figures\n"
    assert len((shell.home / "five.csv").read_text().splitlines()) == 6
