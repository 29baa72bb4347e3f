"""Synthesizes the template that is deployed without CDK, with its assets as files to upload."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedded_aws.cloud.assembly import read_stack
from infra.settings import Settings
from infra.sources import PROJECT
from infra.stack import SegmentationStack

# infra is imported before aws_cdk, because it disables a warning that aws_cdk prints.
from aws_cdk import App, CfnParameter, DefaultStackSynthesizer  # isort: skip

TEMPLATE = "template.json"
BUCKET_PARAMETER = "AssetsBucket"


def write_template(target: Path, settings: Settings, *, bundle: bool = True) -> None:
    """Write ``template.json`` and the folder ``assets`` with the objects that the template refers to.

    The template has a parameter for the bucket that holds them, in place of the bucket of ``cdk bootstrap``.

    Parameters
    ----------
    target
        The folder to write into.
    settings
        The settings of the deployment; they are constants in the template.
    bundle
        Whether the layers are built. Without them, the template only works in the embedded AWS.
    """
    with tempfile.TemporaryDirectory() as assembly:
        stack_name = _synthesize(Path(assembly), settings, bundle=bundle)
        stack = read_stack(Path(assembly), stack_name, account="", region="")
        (target / "assets").mkdir(parents=True)
        for asset in stack.assets:
            if asset.key == stack.template_key:
                shutil.copyfile(asset.source, target / TEMPLATE)
            else:
                (target / "assets" / asset.key).write_bytes(asset.content())


def _synthesize(assembly: Path, settings: Settings, *, bundle: bool) -> str:
    context: Mapping[str, Any] = json.loads((PROJECT / "cdk.json").read_text())["context"]
    app = App(
        outdir=str(assembly),
        context={**context, **({} if bundle else {"aws:cdk:bundling-stacks": []})},
        analytics_reporting=False,
    )
    synthesizer = DefaultStackSynthesizer(
        file_assets_bucket_name=f"${{{BUCKET_PARAMETER}}}",
        generate_bootstrap_version_rule=False,
    )
    stack = SegmentationStack(app, settings=settings, synthesizer=synthesizer)
    CfnParameter(stack, BUCKET_PARAMETER, description="The bucket that deploy.sh uploaded the assets to")
    app.synth()
    return stack.stack_name
