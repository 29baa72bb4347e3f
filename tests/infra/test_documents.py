"""What is generated into docs/ is up to date."""

import re
from pathlib import Path

from contract.names import MAX_SHARD_BYTES
from infra import settings_docs
from infra.functions import function_specs
from infra.settings import Settings
from jobs.sagemaker.recordio import frame_bytes
from tests.infra.synthesis import ROOT, resources, template_of
from tests.infra.test_permissions import actions
from tools.documents.__main__ import DOCS
from tools.documents.generated import documents

WRITTEN = {"bench/last.json", "jobs/vendor"}
"""Files that commands write, and that are not committed."""


def test_every_generated_document_is_up_to_date(assembly: Path) -> None:
    expected = documents(assembly)
    found = {name: (DOCS / name).read_text(encoding="utf-8") for name in expected if (DOCS / name).exists()}
    assert [name for name, text in expected.items() if found.get(name) != text] == [], "run make docs"
    assert {f"schemas/{path.name}" for path in (DOCS / "schemas").iterdir()} <= set(expected), "run make docs"


def test_every_setting_says_what_it_does() -> None:
    rows = [line for line in settings_docs.render().splitlines() if line.startswith("| `")]
    assert all(len(row.split(" | ")[4]) > 20 for row in rows)


def test_the_documents_give_the_rows_per_shard_that_the_limit_allows() -> None:
    rows = f"{MAX_SHARD_BYTES // frame_bytes(34):,}"
    for name in ("performance.md", "decisions/0002-one-distributed-map.md"):
        assert f"{rows} rows" in (ROOT / "docs" / name).read_text(encoding="utf-8"), name


def test_the_documents_name_no_file_of_ours_that_does_not_exist() -> None:
    folders = "contract|infra|lambdas|jobs|embedded_aws|local|tests|tools|bench|docs"
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for path in re.findall(rf"`((?:{folders})/[\w/.-]+)`", document.read_text(encoding="utf-8")):
            assert (ROOT / path).exists() or path in WRITTEN, f"{document.name}: {path}"


def test_the_decision_on_layers_counts_the_functions_without_the_science_layer() -> None:
    specs = function_specs(Settings())
    words = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    without = sum(not spec.science for spec in specs)
    text = (ROOT / "docs" / "decisions" / "0006-two-layers.md").read_text(encoding="utf-8")
    assert f"{words.split()[without].title()} of the {words.split()[len(specs)]} functions" in text


def test_the_operations_page_lists_a_vpc_endpoint_for_every_service_that_functions_call() -> None:
    names = {"stepfunctions": "states", "sagemaker": "sagemaker.api", "sagemaker-runtime": "sagemaker.runtime"}
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "lambdas").rglob("*.py")]
    called = {service for source in sources for service in re.findall(r'\bclient\("([a-z-]+)"\)', source)}
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`com\.amazonaws\.<region>\.([a-z.]+)`", page))
    assert listed == {names.get(service, service) for service in called}


def test_the_security_page_lists_every_role_with_its_service_and_the_services_that_it_calls() -> None:
    names = {f"Functions{spec.construct_id}Role": f"`{spec.name}`" for spec in function_specs(Settings())}
    names |= {"SageMakerRole": "SageMaker's execution role", "WorkflowRole": "the state machine"}
    expected = []
    for logical_id, role in resources(template_of(), "AWS::IAM::Role").items():
        (trust,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        (service,) = trust["Principal"].values()
        called = {action.split(":")[0] for action in actions(logical_id)} - {"logs", "xray"}
        calls = ", ".join(f"`{name}`" for name in sorted(called))
        expected.append((names[logical_id[:-8]], f"`{service.removesuffix('.amazonaws.com')}`", calls))
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    _, _, table = page.partition("| role | assumed by | calls |")
    rows = [line.strip("| ").split(" | ") for line in table.partition("\n\n")[0].splitlines()[2:]]
    assert sorted((row[0], row[1], row[2]) for row in rows) == sorted(expected)
    assert {len(row) for row in rows} == {5}
