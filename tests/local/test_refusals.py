"""Files that are read and files that are refused, from the upload to the notification.

Each way a file can be wrong is specified in tests/unit/jobs/census/test_census_refusals.py; here, what becomes of it
as a run.
"""

import gzip
import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from embedded_aws.cloud.deploy import Outputs
from embedded_aws.cloud.instance import Cloud
from tests.local.runs import Run, Runs, eventually, small_census


@pytest.fixture(scope="module")
def runs(cloud: Cloud, stack: Outputs) -> Iterator[Runs]:
    runs = Runs(cloud, stack)
    yield runs
    runs.clear_faults()


@pytest.fixture(scope="module")
def inbox(runs: Runs) -> str:
    """A queue subscribed to the stack's topic."""
    sqs, topic = runs.client("sqs"), runs.outputs["TopicArn"]
    url = sqs.create_queue(QueueName="refusals")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    runs.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return str(url)


def refused(runs: Runs, run: Run) -> dict[str, Any]:
    """Assert that a run was refused before anything was launched; return problems.json."""
    ended = runs.end(run)
    assert (ended["status"], ended["error"]) == ("FAILED", "InvalidCensus"), ended.get("cause")
    assert not [state for state in runs.entered(run) if state.startswith("Launch")]
    assert runs.training_jobs(run) == {}
    assert sorted(runs.written(run)) == ["failure.json", "problems.json"]
    problems = runs.read_json(run.files.problems)
    assert problems["summary"] in json.loads(ended["cause"])["errorMessage"]
    return dict(problems)


def succeeded(runs: Runs, run: Run) -> dict[str, Any]:
    """Assert that a run gave the right labels; return its manifest."""
    ended = runs.end(run)
    assert ended["status"] == "SUCCEEDED", (ended.get("error"), ended.get("cause"))
    assert runs.has_correct_labels(run)
    return dict(runs.read_json(run.files.manifest))


def hold_prepare(runs: Runs, name: str) -> None:
    """Hold the run of a file in Prepare, before it is read."""
    runs.add_faults(f"State.Prepare@{name}:slow=2*1")


def await_hold(runs: Runs, name: str) -> None:
    eventually(lambda: any(fault["struck"] for fault in runs.faults_on(name)), 30)


def with_figures(*cells: str) -> bytes:
    """Return a census whose first rows have these values in the first feature."""
    lines = small_census(rows=200).decode().splitlines()
    for number, cell in enumerate(cells, start=1):
        head = lines[number].split(",")
        lines[number] = ",".join([*head[:3], cell, *head[4:]])
    return "\n".join(lines).encode()


class TestRefused:
    def test_every_problem_is_listed_with_row_column_value_and_remedy(self, runs: Runs) -> None:
        problems = refused(runs, runs.upload("bad.csv", with_figures("n/a", "-4", "inf")))
        listed = [(each["row"], each["column"], each["value"]) for each in problems["problems"]]
        assert listed == [(2, "Measure0", "n/a"), (3, "Measure0", "-4"), (4, "Measure0", "inf")]
        assert all(each["remedy"] and each["remedy"] in each["message"] for each in problems["problems"])
        assert sum(problems["totals"].values()) == 3

    def test_a_hundred_of_each_kind_are_shown_and_all_are_counted(self, runs: Runs) -> None:
        problems = refused(runs, runs.upload("many-bad.csv", with_figures(*["n/a"] * 150)))
        assert len(problems["problems"]) == 100
        assert list(problems["totals"].values()) == [150]

    def test_the_message_says_what_is_wrong_and_what_to_do(self, runs: Runs, inbox: str) -> None:
        list(runs.messages_to(inbox))
        run = runs.upload("message.csv", with_figures("n/a"))
        refused(runs, run)

        def message() -> dict[str, Any] | None:
            return next((each for each in runs.messages_to(inbox) if run.run_id in each["Subject"]), None)

        received = eventually(message, 20, "no message")
        assert received["Subject"] == f"Census run {run.run_id}: InvalidCensus in Prepare"
        for words in (run.key, "was refused", "row 2", "Measure0", "unchanged", run.files.problems):
            assert words in received["Message"]

    def test_it_is_counted(self, runs: Runs) -> None:
        began = int(time.time() * 1000)
        refused(runs, runs.upload("counted-bad.csv", with_figures("n/a")))

        def counted() -> list[str]:
            group = f"/aws/lambda/{runs.stack}-record-failure"
            logged = runs.client("logs").filter_log_events(logGroupName=group, startTime=began)
            return [event for event in logged["events"] if '"FilesRefused"' in event["message"]]

        assert eventually(counted, 20, "no metric in the log")

    def test_an_object_of_no_bytes(self, runs: Runs) -> None:
        assert "empty" in refused(runs, runs.upload("zero.csv", b""))["summary"]

    def test_a_version_that_was_deleted_before_it_was_read(self, runs: Runs) -> None:
        hold_prepare(runs, "deleted-")
        run = runs.upload("deleted-.csv")
        await_hold(runs, "deleted-")
        runs.client("s3").delete_object(Bucket=runs.incoming, Key=run.key, VersionId=run.version_id)

        problems = refused(runs, run)

        assert list(problems["totals"]) == ["deleted"]

    def test_the_original_stays(self, runs: Runs) -> None:
        body = with_figures("n/a")
        run = runs.upload("stays.csv", body)
        refused(runs, run)
        kept = runs.client("s3").get_object(Bucket=runs.incoming, Key=run.key, VersionId=run.version_id)
        assert kept["Body"].read() == body


class TestRead:
    def test_a_name_with_spaces_and_letters_of_other_languages(self, runs: Runs) -> None:
        run = runs.upload("Zensus der Bevölkerung, 人口 (2015).csv")
        manifest = succeeded(runs, run)
        assert manifest["input"]["uri"].endswith("/incoming/Zensus der Bevölkerung, 人口 (2015).csv")

    @pytest.mark.parametrize(
        ("name", "encoded"),
        [
            ("packed.csv.gz", gzip.compress(small_census())),
            ("utf16.csv", small_census().decode().encode("utf-16")),
            ("german.csv", small_census().replace(b",", b";").replace(b".", b",")),
        ],
        ids=["gzip", "UTF-16", "semicolons and decimal commas"],
    )
    def test_a_common_variation(self, runs: Runs, name: str, encoded: bytes) -> None:
        succeeded(runs, runs.upload(name, encoded))

    def test_the_version_that_triggered_the_run_even_if_it_is_overwritten_meanwhile(self, runs: Runs) -> None:
        first, second = small_census(seed=1), small_census(rows=80, seed=2)
        hold_prepare(runs, "overwritten-")
        run = runs.upload("overwritten-.csv", first)
        await_hold(runs, "overwritten-")
        other = runs.upload("overwritten-.csv", second)

        assert succeeded(runs, run)["input"]["sha256"] == hashlib.sha256(first).hexdigest()

        assert runs.end(other)["status"] == "SUCCEEDED"
        assert runs.read_json(other.files.manifest)["input"]["sha256"] == hashlib.sha256(second).hexdigest()

    def test_a_file_that_is_deleted_without_its_version(self, runs: Runs) -> None:
        """A delete marker hides the version that triggered the run, but the run can still read that version."""
        hold_prepare(runs, "hidden-")
        run = runs.upload("hidden-.csv")
        await_hold(runs, "hidden-")
        runs.client("s3").delete_object(Bucket=runs.incoming, Key=run.key)
        succeeded(runs, run)


def test_a_folder_marker_starts_no_run(runs: Runs) -> None:
    run = runs.upload("a folder/", b"")
    assert runs.invoke("start-run", {"key": run.key}) == {"skipped": "incoming/a folder/ is a folder marker"}
    # Objects are announced in order: by the end of the next one's run, the marker has been announced too.
    succeeded(runs, runs.upload("after the marker.csv"))
    assert runs.describe(run) is None
