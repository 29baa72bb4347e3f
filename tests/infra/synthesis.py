"""Synthesize the stack within this process: CDK's runtime takes seconds to start, an app a fraction of one."""

import json
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import infra  # noqa: F401 - silences CDK's banner before CDK starts

os.environ["CDK_VALIDATION"] = "false"  # CDK's own template check takes longer than all the rest; cfn-lint is ours

from aws_cdk import App, Stack
from aws_cdk.assertions import Template

from infra.segmentation import CensusSegmentation
from infra.settings import Settings
from infra.stack import SegmentationStack

ROOT = Path(__file__).parents[2]

KMS = {"encryption": "kms", "stage": "prod", "alarm_email": "team@example.com", "clusters": "auto"}
BUDGET = {"monthly_budget_usd": 50.0, "stage": "eu", "retain_data": False, "training_instance_count": 2}


def new_app(outdir: str | None = None) -> App:
    """Return an app with cdk.json's feature flags that bundles no layer."""
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    return App(
        outdir=outdir or tempfile.mkdtemp(prefix="cdk-out-"),
        context={**context, "aws:cdk:bundling-stacks": []},
        analytics_reporting=False,
    )


def new_stack(app: App | None = None, **settings: Any) -> SegmentationStack:
    """Return the stack with these settings, the others at their defaults."""
    return SegmentationStack(app or new_app(), settings=Settings(**settings))


@cache
def _synthesized(settings: str) -> dict[str, Any]:
    return dict(Template.from_stack(new_stack(**json.loads(settings))).to_json())


def template_of(**settings: Any) -> dict[str, Any]:
    """Return the template of the stack with these settings."""
    return _synthesized(json.dumps(settings, sort_keys=True))


def two_in_one_stack() -> dict[str, Any]:
    """Return the template of a foreign stack that holds two deployments."""
    stack = Stack(new_app(), "Foreign")
    for name in ("census-one", "census-two"):
        CensusSegmentation(stack, name.title().replace("-", ""), settings=Settings(name=name, encryption="kms"))
    return dict(Template.from_stack(stack).to_json())


def resources(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Return a template's resources of one type, by logical id."""
    return {name: each for name, each in template["Resources"].items() if each["Type"] == kind}
