"""Check a synthesized app with cdk-nag, and a template with cfn-lint."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks, HIPAASecurityChecks, NIST80053R5Checks, ServerlessChecks
from cfnlint.api import ManualArgs, lint

# The CDK makes each function depend on its role by name as well, so that the role has its policy (.cfnlintrc.yaml).
_IGNORED = ["W3005"]
BASIC_PACKS = (AwsSolutionsChecks, ServerlessChecks)
PACKS = (*BASIC_PACKS, NIST80053R5Checks, HIPAASecurityChecks)


def findings_of(app: App, packs: Sequence[type] = PACKS) -> set[str]:
    """Return the rules of cdk-nag's packs that an app breaks, after synthesizing it."""
    Validations.of(app).add_plugins(*(pack(app) for pack in packs))
    try:
        app.synth()
    except RuntimeError as error:
        assert "ValidationFailed" in str(error)  # noqa: PT017 - any other error is one of ours
    report = json.loads((Path(app.outdir) / "validation-report.json").read_text())
    return {violation["ruleName"] for pack in report["pluginReports"] for violation in pack["violations"]}


def cfn_lint(template: dict[str, Any], region: str) -> list[str]:
    """Return what cfn-lint finds in a template that is deployed into a region."""
    config = ManualArgs(regions=[region], ignore_checks=_IGNORED)
    return [str(match) for match in lint(json.dumps(template), config=config)]
