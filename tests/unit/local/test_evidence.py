"""What two pieces of evidence are compared by."""

from typing import Any

from local.evidence import differences, shape


def document(**parts: Any) -> dict[str, Any]:
    return {"run_id": "census-abc", "calls": [], **parts}


def call(message: str, error: str = "ThrottlingException") -> dict[str, Any]:
    return {"operation": "sagemaker:ListModels", "status": 400, "error": error, "message": message}


def described(output: str) -> list[dict[str, Any]]:
    details = {"resourceType": "aws-sdk:sagemaker", "resource": "describeEndpoint", "output": output}
    return [
        {"id": 1, "type": "TaskStateEntered", "stateEnteredEventDetails": {"name": "DescribePcaEndpoint"}},
        {"id": 2, "previousEventId": 1, "type": "TaskSucceeded", "taskSucceededEventDetails": details},
    ]


def test_the_same_evidence_has_no_differences() -> None:
    same = document(calls=[call("slow down")], events=described('{"EndpointStatus": "Creating"}'))
    assert differences(same, same) == []


def test_numbers_and_ids_are_no_differences() -> None:
    ours = document(calls=[call("Rate 12 of census-abc exceeded, 0123456789ABCDEF")])
    twins = {**document(calls=[call("Rate 7 of census-xyz exceeded, FEDCBA9876543210")]), "run_id": "census-xyz"}
    assert differences(ours, twins) == []


def test_an_error_that_only_aws_has_is_an_item_of_the_to_do_list() -> None:
    (item,) = differences(document(calls=[call("slow down")]), document())
    assert item == (
        "- [ ] `sagemaker:ListModels` responds 400 ThrottlingException: slow down (AWS does, the embedded AWS does not)"
    )


def test_a_field_that_only_the_embedded_aws_has_is_an_item_of_the_to_do_list() -> None:
    ours = document(events=described('{"EndpointStatus": "Creating"}'))
    twins = document(events=described('{"EndpointStatus": "Creating", "Variants": [{"Weight": 1}]}'))
    (item,) = differences(ours, twins)
    assert item == (
        "- [ ] `aws-sdk:sagemaker:describeEndpoint` returns `Variants[].Weight: number`"
        " (the embedded AWS does, AWS does not)"
    )


def test_a_status_message_of_a_training_job_is_compared() -> None:
    job = {"SecondaryStatusTransitions": [{"Status": "Starting", "StatusMessage": "Preparing the instances"}]}
    (item,) = differences(document(training_jobs=[job]), document())
    assert "a training job is Starting: Preparing the instances" in item


def test_the_shape_of_a_document_has_each_field_with_its_type() -> None:
    value = {"rows": 3, "share": 0.5, "segments": [{"name": "a"}, {"name": "b", "stable": True}], "silhouette": None}
    found = {"rows: number", "share: number", "segments[].name: string", "segments[].stable: boolean"}
    assert set(shape(value)) == found
