"""The state machine of app.py trains a model, survives throttling, and is refused nothing."""

import json
from pathlib import Path

from census_segmentation.rehearsal import Rehearsal

APP = Path(__file__).with_name("app.py")


def test_the_state_machine_trains_a_model(rehearsal: Rehearsal, tmp_path: Path) -> None:
    outputs = rehearsal.deploy(rehearsal.synthesize(APP, tmp_path / "cdk.out"))
    rehearsal.add_faults("CreateTrainingJob:throttle*2")

    execution = rehearsal.execute(outputs["MachineArn"], {"rows": 200})

    assert execution["status"] == "SUCCEEDED", execution
    bucket, _, key = json.loads(execution["output"])["model"].removeprefix("s3://").partition("/")
    assert rehearsal.client("s3").head_object(Bucket=bucket, Key=key)["ContentLength"] > 0
    assert rehearsal.permissions(outputs.stack_name).refused == []
