"""The files and events of runs are as their JSON Schemas say."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lambdas import record_failure
from tests.unit.lambdas.conftest import Invoke
from tests.unit.lambdas.fake_aws import FakeAws
from tests.unit.lambdas.test_start_and_failure import failed
from tests.unit.lambdas.test_whole_run import RESULTS, Stages
from tools.documents.files import EVENTS, FILES

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"
VALIDATORS = {
    each.name: jsonschema.Draft202012Validator(json.loads((SCHEMAS / each.schema_file).read_text(encoding="utf-8")))
    for each in (*FILES, *EVENTS)
}


def validated(aws: FakeAws) -> set[str]:
    """Validate every JSON file and event that was written, and return their names."""
    files = [(key.rpartition("/")[2], body) for (bucket, key), body in aws.objects.items() if bucket == RESULTS]
    documents = [(name, json.loads(body)) for name, body in files if name.endswith(".json")]
    documents += [(event["DetailType"], json.loads(event["Detail"])) for event in aws.events]
    for name, document in documents:
        VALIDATORS[name].validate(document)
    return {name for name, _ in documents}


def run(aws: FakeAws, invoke: Invoke, run_id: str, key: str) -> None:
    stages = Stages(aws, invoke, run_id=run_id, key=key)
    stages.until_labeled()
    stages.publish()


@pytest.mark.parametrize("name", VALIDATORS)
def test_every_schema_is_a_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(VALIDATORS[name].schema)


def test_two_runs_of_a_series_write_what_the_schemas_say(aws: FakeAws, invoke: Invoke) -> None:
    run(aws, invoke, "one", "incoming/counties/2015.csv")
    assert "Census Changed" not in validated(aws), "the first run has no comparison"
    run(aws, invoke, "two", "incoming/counties/2017.csv")
    assert validated(aws) == set(VALIDATORS) - {"failure.json", "problems.json"}


def test_a_refused_file_and_a_failed_run_write_what_the_schemas_say(aws: FakeAws, invoke: Invoke) -> None:
    with pytest.raises(Exception, match="row 2"):
        Stages(aws, invoke).prepare(b"State,County,A,B\nAlabama,Autauga,x,1\n" + b"Alabama,Autauga,1,2\n" * 20)
    with pytest.raises(Exception, match="bad"):
        invoke(record_failure.handler, **failed())
    assert validated(aws) == {"failure.json", "problems.json"}


@pytest.mark.parametrize("change", [{"rows": 3}, {"unknown": 1}, {"run_id": None}])
def test_a_document_that_differs_is_refused(aws: FakeAws, invoke: Invoke, change: dict[str, Any]) -> None:
    run(aws, invoke, "one", "incoming/counties/2015.csv")
    document = json.loads(aws.objects[RESULTS, "runs/one/segments.json"])
    with pytest.raises(jsonschema.ValidationError):
        VALIDATORS["segments.json"].validate({**document, **change})
