"""``up``, ``status``, ``runs``, ``report`` and ``down``: an embedded AWS that keeps running, for any AWS client."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from local import synthetic_census as sample
from tests.local.test_cli_run import Shell, first_line_with

UPLOAD = "import boto3, sys; boto3.client('s3').upload_file(sys.argv[1], sys.argv[2], 'incoming/' + sys.argv[1])"


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    one = Shell(tmp_path_factory.mktemp("up"))
    sample.write(one.home / "counties.csv", seed=5)
    (one.home / "prices.csv").write_text("item,price\npen,2\n")
    yield one
    one("down")


@pytest.fixture(scope="module")
def up(shell: Shell) -> "subprocess.CompletedProcess[str]":
    return shell("up", "--detach", "--port", free_port())


def bucket_of(shown: str) -> str:
    found = re.search(r"s3://(\S+)/incoming/", shown)
    assert found
    return found[1]


def copy(shell: Shell, csv: str, bucket: str) -> None:
    """Upload with nothing but the exports that ``up`` wrote."""
    subprocess.run(
        ["sh", "-c", '. .local/env && exec "$0" -c "$1" "$2" "$3"', sys.executable, UPLOAD, csv, bucket],
        cwd=shell.home,
        check=True,
        timeout=60,
    )


def ended_runs(shell: Shell, count: int) -> dict[str, dict[str, Any]]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        runs = json.loads(shell("status", "--json").stdout)["runs"]
        if sum(run["status"] != "RUNNING" for run in runs) == count:
            return {re.sub(r"-\w{10}$", "", run["run_id"]): run for run in runs}
        time.sleep(0.5)
    raise AssertionError(f"{count} runs should have ended: {runs}")


@pytest.fixture(scope="module")
def runs(shell: Shell, up: "subprocess.CompletedProcess[str]") -> dict[str, dict[str, Any]]:
    """Two runs, started by copying CSVs with another AWS client: one good, one refused; by the file's name."""
    for csv in ("counties.csv", "prices.csv"):
        copy(shell, csv, bucket_of(up.stdout))
    return ended_runs(shell, 2)


def test_up_returns_once_it_is_ready_and_prints_how_to_use_it(
    up: "subprocess.CompletedProcess[str]", shell: Shell
) -> None:
    assert (up.returncode, up.stderr) == (0, "")
    assert "stop it with: census down" in up.stdout
    assert (shell.home / ".local/env").stat().st_mode & 0o077 == 0


def test_a_second_up_is_refused_in_one_line(up: "subprocess.CompletedProcess[str]", shell: Shell) -> None:
    shown = shell("up", "--detach", "--port", free_port())
    assert shown.returncode == 1
    assert re.fullmatch(r"error: an embedded AWS is already running at \S+; stop it with: census down\n", shown.stderr)


def test_copied_csvs_start_runs(runs: dict[str, dict[str, Any]]) -> None:
    assert {name: run["status"] for name, run in runs.items()} == {"counties": "SUCCEEDED", "prices": "FAILED"}


def test_status_lists_the_runs(runs: dict[str, dict[str, Any]], shell: Shell) -> None:
    text = shell("status").stdout
    assert re.search(rf"{runs['counties']['run_id']} +succeeded", text)
    assert re.search(rf"{runs['prices']['run_id']} +failed", text)


def test_a_run_is_shown_with_its_steps_and_segments(runs: dict[str, dict[str, Any]], shell: Shell) -> None:
    text = shell("runs", "show", runs["counties"]["run_id"]).stdout
    assert "succeeded after" in text
    assert re.search(r"✓ +Train PCA +\d+\.\d s", text)
    assert "3,218 of 3,220 rows labeled" in text


def test_a_failed_run_is_shown_with_its_reason(runs: dict[str, dict[str, Any]], shell: Shell) -> None:
    text = shell("runs", "show", runs["prices"]["run_id"]).stdout
    assert re.search(r"✗ +Prepare", text)
    assert "failed in Prepare: InvalidCensus" in text


def test_an_unknown_run_is_reported(up: "subprocess.CompletedProcess[str]", shell: Shell) -> None:
    for arguments in (["runs", "show", "nosuch"], ["report", "nosuch"], ["report", "../etc"]):
        shown = shell(*arguments)
        assert shown.returncode == 1
        assert "list the runs with: census status" in shown.stderr


def test_a_report_is_fetched_and_named(runs: dict[str, dict[str, Any]], shell: Shell) -> None:
    shown = shell("report", runs["counties"]["run_id"])
    path = Path(shown.stdout.strip())
    assert path.is_absolute()
    assert path.read_text().lstrip().lower().startswith("<!doctype html")


def test_a_refused_file_has_no_report(runs: dict[str, dict[str, Any]], shell: Shell) -> None:
    assert "has no report" in shell("report", runs["prices"]["run_id"]).stderr


def test_a_county_is_explained_from_the_latest_run_by_default(runs: dict[str, dict[str, Any]], shell: Shell) -> None:
    shown = shell("explain", "New Mexico-Dona Ana")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("New Mexico-Doña Ana (35013) is in segment ")


def test_down_stops_it_and_then_nothing_runs(runs: dict[str, dict[str, Any]], shell: Shell) -> None:
    assert shell("down").stdout == "stopped\n"
    assert shell("down").stdout == "nothing is running\n"
    shown = shell("status")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == "error: the embedded AWS is not running; start it with: census up\n"


def test_copied_results_can_be_read_without_the_embedded_aws(runs: dict[str, dict[str, Any]], shell: Shell) -> None:
    shell("down")
    assert shell("compare", "1001", "1003").returncode == 0


def test_a_server_that_does_not_respond_is_reported_and_can_be_stopped(tmp_path: Path) -> None:
    """The recorded process decides whether an embedded AWS exists: a stopped process still uses its files."""
    shell = Shell(tmp_path)
    assert shell("up", "--detach", "--port", free_port()).returncode == 0
    server = psutil.Process(json.loads((tmp_path / ".local/cloud.json").read_text())["pid"])
    started = [server, *server.children(recursive=True)]
    server.suspend()
    try:
        for command in (["status"], ["up", "--detach", "--port", free_port()]):
            refused = shell(*command)
            assert refused.returncode == 1
            assert re.fullmatch(
                rf"error: the embedded AWS at \S+ does not answer \(pid {server.pid}\); "
                r"end it with: census down\n",
                refused.stderr,
            )
        assert shell("down").stdout == "stopped\n"
        _, alive = psutil.wait_procs(started, timeout=10)
        assert alive == []
        assert shell("down").stdout == "nothing is running\n"
    finally:
        for process in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def test_two_embedded_clouds_never_share_a_folder(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    both = [shell.begin("up", "--detach", "--port", free_port()) for _ in range(2)]
    try:
        errors = [process.communicate(timeout=120)[1] for process in both]
        assert sorted(process.returncode for process in both) == [0, 1]
        assert re.search(r"is using \S+|is already running at", "".join(errors))
        assert shell("status").returncode == 0
    finally:
        shell("down")


def test_up_reports_each_run_and_ctrl_c_stops_everything(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    (tmp_path / "prices.csv").write_text("item,price\npen,2\n")
    process = shell.begin("up", "--follow", "--port", free_port())
    try:
        bucket = bucket_of(first_line_with("Copy census CSVs to", process.stdout))
        first_line_with("Waiting for CSVs", process.stdout)
        copy(shell, "prices.csv", bucket)
        assert re.match(r"\d\d:\d\d:\d\d  prices-\w{10}  ", first_line_with("failed in Prepare", process.stdout))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (0, "")
        assert shell("status").returncode == 1
    finally:
        if process.poll() is None:
            process.kill()
        shell("down")
