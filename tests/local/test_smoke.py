"""``smoke``: a copy of the stack is tried, compared with the rehearsal and deleted, however the trial ends."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.cloud import deploy
from embedded_aws.cloud.instance import Cloud
from local import synthetic_census
from local.account import Account
from local.clean_up import clean_up, leftovers
from local.destroy import Waits
from local.evidence import MASK, Evidence
from local.session import Options, embedded_account
from local.smoke import Copy, try_copy
from local.synth import ROOT, synth
from local.template import Template
from tests.local.runs import eventually, small_census

pytestmark = pytest.mark.timeout(600)

COPY = {"segmentation.stage": "smoke"}
WAITS = Waits(limit=60, settle=6, poll=0.2)


@dataclass(frozen=True)
class Tried:
    """What the command printed, and its evidence."""

    done: "subprocess.CompletedProcess[str]"
    evidence: dict[str, Any]

    @property
    def document(self) -> dict[str, Any]:
        """What the command printed with ``--json``."""
        return dict(json.loads(self.done.stdout))

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdict of each check."""
        return {each["subject"]: each["verdict"] for each in self.document["checks"]}


def smoke(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [str(ROOT / "bin" / "census"), "smoke", "--embedded", "--json", *options]
    home = os.environ | {"CENSUS_HOME": str(folder / ".local"), "TMPDIR": str(folder)}
    return subprocess.run(command, cwd=folder, env=home, capture_output=True, text=True, check=False)


def tried(folder: Path, *options: str) -> Tried:
    done = smoke(folder, *options)
    (path,) = (folder / "evidence").glob("*.json")
    return Tried(done, json.loads(path.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def succeeded(tmp_path_factory: pytest.TempPathFactory) -> Tried:
    return tried(tmp_path_factory.mktemp("succeeded"))


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Tried:
    return tried(tmp_path_factory.mktemp("failed"), "--fault", "CreateEndpoint@kmeans:denied")


def test_a_copy_that_does_as_in_the_rehearsal_passes_every_check(succeeded: Tried) -> None:
    assert (succeeded.done.returncode, succeeded.done.stderr) == (0, "")
    checks = ["run", "components", "labels", "files", "contracts", "alarms", "SageMaker", "clean-up"]
    assert succeeded.verdicts == dict.fromkeys(checks, "ok")


def test_the_cost_is_that_of_both_jobs_both_endpoints_and_the_transitions(succeeded: Tried) -> None:
    training, hosting = (
        [line for line in succeeded.document["cost"] if line.startswith(use)] for use in ("training, ", "hosting, ")
    )
    assert (len(training), len(hosting)) == (2, 2)
    assert any("state transitions" in line for line in succeeded.document["cost"])


def test_the_evidence_has_statuses_times_and_errors_and_no_account_number(succeeded: Tried) -> None:
    evidence = succeeded.evidence
    assert evidence["execution"]["status"] == "SUCCEEDED"
    changes = [change for job in evidence["training_jobs"] for change in job["SecondaryStatusTransitions"]]
    assert {"Starting", "Training", "Completed"} <= {change["Status"] for change in changes}
    assert all(change["StartTime"] for change in changes)
    errors = {(call["operation"], call["error"]) for call in evidence["calls"]}
    assert ("cloudformation:DescribeStacks", "ValidationError") in errors
    assert any(event["ResourceStatus"] == "CREATE_COMPLETE" for event in evidence["stack_events"])
    assert MASK in json.dumps(evidence)
    assert Cloud.account not in json.dumps(evidence)


def test_a_run_that_fails_is_reported_with_evidence_and_a_to_do_list(failed: Tried) -> None:
    assert failed.done.returncode == 1
    assert failed.done.stderr.startswith("error: the smoke test failed: run")
    assert (failed.verdicts["run"], failed.verdicts["clean-up"]) == ("failed", "ok")
    assert failed.evidence["execution"]["status"] == "FAILED"
    assert "CreateEndpoint" in failed.evidence["execution"]["cause"]
    assert any("LaunchKMeansEndpoint has TaskFailed AccessDenied" in line for line in failed.document["differences"])


def test_an_account_that_is_not_ready_gets_no_copy(tmp_path: Path) -> None:
    no_quota = [f"Endpoint:quota={name}/0" for name in ("ml.t2.medium", "ml.m5.large")]
    done = smoke(tmp_path, "--fault", no_quota[0], "--fault", no_quota[1])
    assert done.returncode == 1
    assert "the account is not ready; nothing was deployed" in done.stderr
    assert "ml.t2.medium for endpoint usage: quota 0" in done.stderr
    assert not (tmp_path / "evidence").exists()


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with embedded_account(Options()) as account:
        yield account


@pytest.fixture(scope="module")
def copy(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    assembly = synth(tmp_path_factory.mktemp("copy") / "cdk.out", COPY)
    return Copy(account, assembly, Template.read(assembly), WAITS)


def interrupt_when(holds: Callable[[], Any]) -> threading.Thread:
    """Send this process what Ctrl-C sends, once a condition holds."""

    def wait() -> None:
        eventually(holds, 120, "the moment to interrupt did not come", every=0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def census(folder: Path) -> Path:
    path = folder / synthetic_census.FILE_NAME
    path.write_bytes(small_census())
    return path


def buckets(account: Account) -> list[str]:
    return [bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]]


def in_use(account: Account) -> list[str]:
    return [endpoint["EndpointName"] for endpoint in account.client("sagemaker").list_endpoints()["Endpoints"]]


@pytest.mark.parametrize("moment", ["while the stack is created", "while the run has an endpoint"])
def test_an_interrupted_trial_leaves_nothing(copy: Copy, tmp_path: Path, moment: str) -> None:
    watcher = Account(copy.account.session, copy.account.options, copy.account.variables)
    before = buckets(copy.account)
    reached = {
        "while the stack is created": lambda: watcher.stack(copy.template.name),
        "while the run has an endpoint": lambda: in_use(watcher),
    }[moment]
    evidence = Evidence(copy.account)
    thread = interrupt_when(reached)

    with pytest.raises(KeyboardInterrupt):
        try_copy(copy, census(tmp_path), tmp_path / "results", evidence, quiet=True)

    thread.join()
    assert leftovers(copy.account, copy.template) == []
    assert buckets(copy.account) == before
    assert evidence.document()["stack_events"]


def test_what_a_killed_trial_has_left_is_deleted_with_retained_buckets_and_keys(tmp_path: Path) -> None:
    assembly = synth(tmp_path / "cdk.out", {**COPY, "segmentation.encryption": "kms"})
    template = Template.read(assembly)
    with Cloud.start(tmp_path / "cloud") as cloud:
        account = Account.embedded(cloud)
        outputs = deploy.deploy(cloud, assembly)
        cloud.client("s3").put_object(Bucket=outputs["ResultsBucket"], Key="old.csv", Body=b"old")
        assert any("s3:::census-seg-smoke-storageresults" in each for each in leftovers(account, template))

        def delete() -> None:
            deploy.destroy(cloud, template.name)

        assert clean_up(account, template, delete, waits=WAITS, report=print) == []
        assert clean_up(account, template, pytest.fail, waits=WAITS, report=print) == []
        (key,) = cloud.client("kms").list_keys()["Keys"]
        assert cloud.client("kms").describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "PendingDeletion"
        assert not any(bucket.startswith("census-seg-smoke") for bucket in buckets(account))
