"""``run``: one CSV through the whole stack, with output for people and programs, and nothing left behind."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from local import results
from local import synthetic_census as sample
from tests.local.runs import small_census

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

    def begin(self, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [str(CENSUS), *arguments],
            cwd=self.home,
            env=self.environment(PYTHONUNBUFFERED="1", **variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def environment(self, **more: str) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if name not in {"FORCE_COLOR", "NO_COLOR"}}
        self.temporary.mkdir(exist_ok=True)
        return plain | {"CENSUS_HOME": str(self.home / ".local"), "TMPDIR": str(self.temporary)} | more

    @property
    def temporary(self) -> Path:
        """Where commands keep their temporary files."""
        return self.home / "tmp"


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


def test_a_successful_run_exits_with_0_and_an_empty_stderr(
    finished: "subprocess.CompletedProcess[str]",
) -> None:
    assert (finished.returncode, finished.stderr) == (0, "")


def test_a_run_prints_each_step_with_its_time_and_what_it_waits_for(
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
    assert re.search(r"s in total: start .* synth .* deploy .* execution ", finished.stdout)


def test_a_run_copies_the_result_files_and_names_them(
    finished: "subprocess.CompletedProcess[str]", shell: Shell
) -> None:
    for name in (results.REPORT, results.LABELED, results.SEGMENTS, results.MANIFEST):
        assert (shell.home / "out" / name).stat().st_size > 0
        assert f"out/{name}" in finished.stdout


def test_output_to_a_pipe_is_neither_colored_nor_animated(finished: "subprocess.CompletedProcess[str]") -> None:
    assert "\x1b" not in finished.stdout


def test_a_county_is_explained_from_a_results_folder(
    finished: "subprocess.CompletedProcess[str]", shell: Shell
) -> None:
    shown = shell("explain", "california-SAN FRANCISCO", "--dir", "out")
    assert shown.returncode == 0
    assert re.match(r"California-San Francisco \(6075\) is in segment \d: ", shown.stdout)
    assert "runner-up" in shown.stdout
    assert re.search(r"How certain: [a-z ]+\. It keeps this segment in \d+% of the refits", shown.stdout)
    assert "What would have to differ" in shown.stdout
    assert "synthetic census" in shown.stdout


def test_a_misspelt_county_gets_suggestions(finished: "subprocess.CompletedProcess[str]", shell: Shell) -> None:
    shown = shell("explain", "California-San Fransisco", "--dir", "out")
    assert shown.returncode == 1
    assert shown.stderr.startswith("error: no county is called 'California-San Fransisco'; did you mean ")
    assert "California-San Francisco" in shown.stderr


def test_two_counties_are_compared_feature_by_feature(
    finished: "subprocess.CompletedProcess[str]", shell: Shell
) -> None:
    shown = shell("compare", "Alabama-Autauga", "6075", "--dir", "out")
    assert shown.returncode == 0
    for heading in ("Alabama-Autauga", "California-San Francisco", "Income", "SD"):
        assert heading in shown.stdout


def test_quiet_prints_one_line_and_json_one_document(shell: Shell) -> None:
    csv = shell.home / "own census.csv"
    sample.write(csv, seed=3)
    quiet = shell("run", csv.name, "--quiet")
    assert quiet.returncode == 0, quiet.stderr
    found = re.fullmatch(r"3,218 rows in 8 segments: (results/own-census-\w{10})\n", quiet.stdout)
    assert found
    assert (shell.home / found[1] / results.REPORT).exists()

    shown = shell("run", csv.name, "--json", "--set", "clusters=6", "--out", "six")
    document = json.loads(shown.stdout)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert document["status"] == "SUCCEEDED"
    assert document["rows"] == {"read": 3220, "dropped": 2, "labeled": 3218}
    assert len(document["segments"]) == 6
    assert document["left_in_sagemaker"] == []
    assert set(document["seconds"]) == {"start", "synth", "deploy", "execution", "total"}
    assert document["seconds"]["total"] > document["seconds"]["execution"] > 0
    assert [step["name"] for step in document["steps"]][:3] == ["Prepare", "Train PCA", "Host PCA"]
    assert not document["synthetic"]


def test_several_files_are_one_series_with_a_folder_per_run(shell: Shell) -> None:
    for name, seed in (("2012.csv", 1), ("2017.csv", 2)):
        (shell.home / name).write_bytes(small_census(seed=seed))
    shown = shell("run", "2012.csv", "2017.csv", "--json", "--out", "both", "--set", "stability_refits=2")
    assert (shown.returncode, shown.stderr) == (0, "")
    first, second = json.loads(shown.stdout)["runs"]
    assert [first["out"], second["out"]] == [f"both/{first['run_id']}", f"both/{second['run_id']}"]
    changes = json.loads((shell.home / second["out"] / results.CHANGES).read_bytes())
    assert (changes["reason"], changes["previous_run_id"]) == (None, first["run_id"])
    assert (changes["previous_vintage"], changes["vintage"]) == (2012, 2017)
    assert changes["movers_count"] == 0


def test_the_first_files_model_is_applied_to_the_others(shell: Shell) -> None:
    for name in ("2012.csv", "2017.csv"):
        (shell.home / name).write_bytes(small_census())
    shown = shell("run", "2012.csv", "2017.csv", "--apply", "--json", "--out", "both", "--set", "stability_refits=2")
    assert (shown.returncode, shown.stderr) == (0, "")
    first, second = json.loads(shown.stdout)["runs"]
    assert second["segments"] == first["segments"]
    assert [step["name"] for step in second["steps"]] == ["Prepare", "Adopt", "Label", "Publish"]
    assert second["seconds"]["execution"] < first["seconds"]["execution"]


def test_a_file_that_is_no_census_is_refused_with_its_problems(shell: Shell) -> None:
    (shell.home / "prices.csv").write_text("item,price\npen,2\n")
    shown = shell("run", "prices.csv", "--quiet", "--out", "refused")
    assert shown.returncode == 1
    first, *problems = shown.stderr.splitlines()
    assert first == "error: prices.csv was refused (all problems: refused/problems.json)"
    assert any("no column State" in problem for problem in problems)
    assert (shell.home / "refused/failure.json").exists()


def test_a_failed_run_reports_its_first_error_and_where_the_details_are(shell: Shell) -> None:
    shown = shell("run", "--json", "--out", "failed", "--fault", "CreateEndpoint@kmeans:denied")
    document = json.loads(shown.stdout)
    assert shown.returncode == 1
    assert document["status"] == "FAILED"
    assert document["error"]["phase"] == "KMeans"
    assert "AccessDenied" in document["error"]["name"]
    assert document["left_in_sagemaker"] == []
    outcomes = {step["name"]: step["outcome"] for step in document["steps"]}
    assert outcomes["Host k-means"] == "failed"
    assert outcomes["Train k-means"] == outcomes["Clean up k-means"] == "done"
    (line,) = shown.stderr.splitlines()
    assert "failed in KMeans: AccessDenied" in line
    assert line.endswith("(details: failed/failure.json)")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent.csv"], "error: absent.csv does not exist; give a census CSV, or none for a synthetic one"),
        (["."], "error: . is a folder; give a CSV file"),
        (["--pace", "hurry"], "error: --pace: pace 'hurry' is not understood"),
        (["--set", "clusters"], "error: --set 'clusters' is not understood; write key=value"),
        (["--set", "clusters=1"], "error: invalid setting: clusters is 1: "),
        (["--fault", "CreateEndpoint:nope"], "error: --fault: fault 'CreateEndpoint:nope': "),
    ],
)
def test_invalid_arguments_are_reported_in_one_line(shell: Shell, arguments: list[str], said: str) -> None:
    shown = shell("run", "--quiet", *arguments)
    assert (shown.returncode, shown.stdout) == (1, "")
    (line,) = shown.stderr.splitlines()
    assert line.startswith(said)


def test_an_output_folder_that_is_a_file_is_refused_before_anything_starts(shell: Shell) -> None:
    (shell.home / "taken").write_text("")
    shown = shell("run", "--out", "taken")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == "error: --out taken is a file; give a folder\n"


def test_a_file_that_cannot_be_read_is_reported_with_the_reason(shell: Shell) -> None:
    (shell.home / "plain").write_text("")
    shown = shell("run", "plain/census.csv")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == "error: cannot read plain/census.csv: Not a directory\n"


def test_a_busy_port_is_reported_in_one_line(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        shown = shell("run", "--quiet", "--port", str(port))
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == f"error: port {port} of 127.0.0.1 is busy; choose another, or 0 for a free one\n"


def test_an_unexpected_error_shows_no_traceback(shell: Shell) -> None:
    (shell.home / "broken").mkdir()
    for name in (results.LABELED, results.SEGMENTS):
        (shell.home / "broken" / name).write_text("{}")
    shown = shell("explain", "1001", "--dir", "broken")
    assert shown.returncode == 1
    (line,) = shown.stderr.splitlines()
    assert line.startswith("error: unexpected ")
    assert f"the details are in {shell.home / '.local' / 'error.log'}" in line


@pytest.fixture
def waiting(shell: Shell) -> Iterator["subprocess.Popen[str]"]:
    """A run whose training takes an hour."""
    # A process inherits ignored signals: under nohup, the command would rightly ignore SIGHUP.
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    process = shell.begin("run", "--pace", "training=3600", "--out", "interrupted")
    signal.signal(signal.SIGHUP, inherited)
    try:
        first_line_with("Train PCA: waiting", process.stdout)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_run_stops_everything_it_started(
    waiting: "subprocess.Popen[str]", shell: Shell, number: signal.Signals, code: int
) -> None:
    started = psutil.Process(waiting.pid).children(recursive=True)
    assert clouds_of(psutil.Process(waiting.pid))
    waiting.send_signal(number)
    _, errors = waiting.communicate(timeout=30)
    assert waiting.returncode == code
    assert errors == "error: interrupted; nothing that this command started is left running\n"
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []
    assert list(shell.temporary.iterdir()) == []


def test_help_imports_no_large_library() -> None:
    code = (
        "import sys; sys.argv = ['x', '--help']\n"
        "from local.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "large = {'boto3', 'botocore', 'numpy', 'ministack', 'altair', 'embedded_aws'}\n"
        "print(sorted(set(sys.modules) & large))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=CENSUS.parents[1], capture_output=True, text=True, check=True
    )
    assert shown.stdout.splitlines()[-1] == "[]"
    assert "synthetic census" in shown.stdout


@pytest.mark.parametrize("command", ["run", "up", "explain", "compare", "sample", "preflight", "smoke", "destroy"])
def test_help_of_a_command_has_an_example(shell: Shell, command: str) -> None:
    text = shell(command, "--help").stdout
    assert "Example" in text
    assert f" census {command} " in text.partition("Example")[2]
    assert "python -m local" not in text


def test_help_names_the_module_if_the_module_was_started() -> None:
    help_of_run = [sys.executable, "-m", "local", "run", "--help"]
    shown = subprocess.run(help_of_run, cwd=CENSUS.parents[1], capture_output=True, text=True, check=True)
    assert "Usage: python -m local run [OPTIONS]" in shown.stdout
    assert " python -m local run census.csv " in shown.stdout


def test_a_shell_completes_commands(shell: Shell) -> None:
    shown = shell(_CENSUS_COMPLETE="complete_bash", COMP_WORDS="census ru", COMP_CWORD="1")
    assert shown.stdout.split() == ["run", "runs"]


def test_a_sample_is_written_and_said_to_be_synthetic(shell: Shell) -> None:
    shown = shell("sample", "--rows", "5", "--out", "five.csv")
    assert shown.stdout == "five.csv: synthetic census: real county names, invented figures\n"
    assert len((shell.home / "five.csv").read_text().splitlines()) == 6


def plain_folder_without_node(shell: Shell) -> str:
    """Return a PATH that has a shell's programs and no Node.js."""
    folder = shell.home / "bin-without-node"
    folder.mkdir(exist_ok=True)
    for name in ("sh", "dirname", "readlink"):
        program = shutil.which(name)
        assert program
        if not (folder / name).exists():
            (folder / name).symlink_to(program)
    return str(folder)


def test_changed_settings_without_node_are_refused_with_the_version_that_is_needed(shell: Shell) -> None:
    shown = shell("run", "--quiet", "--set", "clusters=7", PATH=plain_folder_without_node(shell))
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == (
        "error: Node.js 20 or newer is needed to synthesize the stack; there is no node on the PATH\n"
    )


def test_an_output_folder_that_cannot_be_written_is_refused_before_anything_starts(shell: Shell) -> None:
    shown = shell("run", "--out", "/proc/results")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.startswith("error: cannot write to --out /proc/results: ")
    assert len(shown.stderr.splitlines()) == 1


def test_a_working_folder_that_cannot_be_written_is_refused_before_anything_starts(shell: Shell) -> None:
    shown = subprocess.run(
        [str(CENSUS), "run"], cwd="/proc", env=shell.environment(), capture_output=True, text=True, check=False
    )
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.startswith("error: cannot write to results: ")


def test_output_in_ascii_replaces_what_ascii_lacks(finished: "subprocess.CompletedProcess[str]", shell: Shell) -> None:
    shown = shell("explain", "New Mexico-Dona Ana", "--dir", "out", PYTHONIOENCODING="ascii")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith(r"New Mexico-Do\xf1a Ana (35013) is in segment ")


def test_a_closed_output_is_reported_and_not_a_traceback(
    finished: "subprocess.CompletedProcess[str]", shell: Shell
) -> None:
    with Path("/dev/full").open("w") as full:
        shown = subprocess.run(
            [str(CENSUS), "explain", "1001", "--dir", "out"],
            cwd=shell.home,
            env=shell.environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert shown.returncode == 1
    assert shown.stderr == ("error: no space is left on the disk; free some space and run the command again\n")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a file system of a size such as ``1m``; skip the test where the user may not."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_temporary_disk_is_reported_before_anything_starts(shell: Shell, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "8m") as disk:
        shown = shell("run", "--quiet", TMPDIR=str(disk))
        assert list(disk.iterdir()) == []
    assert (shown.returncode, shown.stdout) == (1, "")
    (line,) = shown.stderr.splitlines()
    assert re.match(r"error: the disk of \S+ is full: \d\.\d MiB are free, 64 MiB are needed; ", line)


def test_a_temporary_disk_that_fills_up_stops_the_run(shell: Shell, tmp_path: Path) -> None:
    with small_disk(tmp_path / "filling", "128m") as disk:
        process = shell.begin("run", "--pace", "training=3600", "--out", "filled", TMPDIR=str(disk))
        assert_stops_when_full(process, disk, "Train PCA: waiting")
        assert [path.name for path in disk.iterdir()] == ["ballast"]


def test_a_full_disk_under_the_results_is_reported(shell: Shell, tmp_path: Path) -> None:
    with small_disk(tmp_path / "results", "1m") as disk:
        shown = shell("run", "--quiet", "--out", str(disk))
    assert (shown.returncode, shown.stdout) == (1, "")
    (line,) = shown.stderr.splitlines()
    assert "No space left on device" in line


def test_a_full_disk_under_the_embedded_aws_is_reported(shell: Shell, tmp_path: Path) -> None:
    with small_disk(tmp_path / "home", "8m") as disk:
        shown = shell("up", "--detach", "--port", "0", CENSUS_HOME=str(disk))
    assert shown.returncode == 1
    (line,) = shown.stderr.splitlines()
    assert re.match(r"error: the disk of \S+ is full: ", line)


def test_a_full_disk_under_the_assembly_is_reported(shell: Shell, tmp_path: Path) -> None:
    with small_disk(tmp_path / "assembly", "1m") as disk:
        shown = shell("run", "--quiet", CENSUS_ASSEMBLY=str(disk / "cdk.out"))
        assembly = (disk / "cdk.out").resolve()
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == (
        f"error: no space is left on the disk for {assembly}; free some space and run the command again\n"
    )
    assert list(shell.temporary.iterdir()) == []


def test_a_full_disk_under_the_logs_is_reported(shell: Shell, tmp_path: Path) -> None:
    (shell.home / "unreadable").mkdir(exist_ok=True)
    for name in (results.LABELED, results.SEGMENTS):
        (shell.home / "unreadable" / name).write_text("{}")
    with small_disk(tmp_path / "logs", "1m") as disk:
        fill(disk / "ballast")
        shown = shell("explain", "1001", "--dir", "unreadable", CENSUS_HOME=str(disk))
    assert (shown.returncode, shown.stdout) == (1, "")
    (line,) = shown.stderr.splitlines()
    assert line.startswith("error: unexpected ")
    assert line.endswith("(the log cannot be written: [Errno 28] No space left on device)")


def test_a_disk_that_fills_up_under_the_embedded_aws_and_its_logs_stops_it(shell: Shell, tmp_path: Path) -> None:
    with small_disk(tmp_path / "up", "128m") as disk:
        process = shell.begin("up", "--follow", "--port", "0", CENSUS_HOME=str(disk))
        assert_stops_when_full(process, disk, "Waiting for CSVs")


def assert_stops_when_full(process: "subprocess.Popen[str]", disk: Path, started_line: str) -> None:
    """Fill the disk once a command has printed a line; it must end with one error and leave no process."""
    try:
        first_line_with(started_line, process.stdout)
        started = clouds_of(psutil.Process(process.pid)) + psutil.Process(process.pid).children(recursive=True)
        fill(disk / "ballast")
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1
    (line,) = errors.splitlines()
    assert re.match(r"error: the disk of \S+ is full: ", line)
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []


def fill(path: Path) -> None:
    """Write a file until the disk is full."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))
