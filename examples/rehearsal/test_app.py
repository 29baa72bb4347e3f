"""The state machine of app.py trains a model, survives throttling, and is refused nothing."""

import json
from pathlib import Path

from census_segmentation.rehearsal import Rehearsal

APP = Path(__file__).with_name("app.py")


def test_the_state_machine_trains_a_model(rehearsal: Rehearsal, tmp_path: Path) -> None:
    outputs = rehearsal.deploy(rehearsal.synthesize(APP, tmp_path / "cdk.out"))
    rehearsal.add_faults("CreateTrainingJob:throttle*2")

    execution = rehearsal.execute(outputs["MachineArn"], {"rows": 200})

    assert execution["status"] == "SUCCEEDED", execution.get("cause")
    job = json.loads(execution["output"])
    assert job["TrainingJobStatus"] == "Completed"
    assert job["ModelArtifacts"]["S3ModelArtifacts"].endswith("/output/model.tar.gz")
    assert rehearsal.permissions(outputs.stack_name).refused == []
