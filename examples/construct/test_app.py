"""The stack of app.py labels a census CSV in the embedded AWS."""

import json
import time
from pathlib import Path

from census_segmentation.local.synthetic_census import write

from census_segmentation.rehearsal import Rehearsal


def test_the_stack_labels_a_csv(rehearsal: Rehearsal, tmp_path: Path) -> None:
    assembly = rehearsal.synthesize(Path(__file__).with_name("app.py"), tmp_path / "cdk.out")
    outputs = rehearsal.deploy(assembly)
    write(tmp_path / "census.csv", rows=400)
    s3, states = rehearsal.client("s3"), rehearsal.client("stepfunctions")
    s3.upload_file(str(tmp_path / "census.csv"), outputs["Incoming"], "incoming/census.csv")
    deadline = time.monotonic() + 240
    ended: list[str] = []
    while not ended:
        assert time.monotonic() < deadline, "the run has not ended"
        time.sleep(0.5)
        runs = states.list_executions(stateMachineArn=outputs["StateMachine"])["executions"]
        ended = [run["status"] for run in runs if run["status"] != "RUNNING"]
    assert ended == ["SUCCEEDED"]
    latest = json.loads(s3.get_object(Bucket=outputs["Results"], Key="latest.json")["Body"].read())
    labeled = s3.get_object(Bucket=outputs["Results"], Key=f"runs/{latest['run_id']}/labeled_counties.csv")
    assert labeled["Body"].read().count(b"\n") > 300
    assert rehearsal.permissions(outputs.stack_name).refused == []
