"""A whole run with ``encryption: kms``: every role has the permissions on the key that AWS asks for."""

import tempfile
from pathlib import Path

import pytest

from embedded_aws.cloud.deploy import deploy
from embedded_aws.cloud.instance import Cloud
from local.synth import synth
from tests.local.runs import Runs

pytestmark = pytest.mark.timeout(600)


def test_a_run_with_a_customer_key_succeeds_and_leaves_nothing(tmp_path: Path) -> None:
    assembly = synth(tmp_path / "cdk.out", {"segmentation": {"encryption": "kms"}})
    with tempfile.TemporaryDirectory(prefix="kms-") as directory, Cloud.start(Path(directory)) as cloud:
        runs = Runs(cloud, deploy(cloud, assembly))
        run = runs.upload("encrypted.csv")
        execution = runs.end(run, 280)
        assert execution["status"] == "SUCCEEDED", execution.get("cause")
        assert runs.has_correct_labels(run)
        assert runs.leftovers() == []
