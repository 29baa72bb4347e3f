"""The CDK app: reads the settings from the context and builds the stack, without calling AWS."""

import json
import sys

from aws_cdk import App

from infra.settings import Settings, SettingsError
from infra.sources import PROJECT
from infra.stack import SegmentationStack

_CDK_JSON = PROJECT / "cdk.json"
# Disables metadata that would make the template depend on the machine that synthesizes it.
_NO_METADATA = {"aws:cdk:enable-path-metadata": False, "aws:cdk:enable-asset-metadata": False}


def build() -> App:
    """Return the app, with the settings of cdk.json and those that the command line overrides.

    Raises
    ------
    SettingsError
        If a setting is invalid.
    """
    app = App(
        context=json.loads(_CDK_JSON.read_text())["context"],
        post_cli_context=_NO_METADATA,
        analytics_reporting=False,
    )
    SegmentationStack(app, settings=Settings.from_context(app.node.get_all_context()))
    return app


def main() -> None:
    """Synthesize the app, or exit with an error of one line if a setting is invalid."""
    try:
        build().synth()
    except SettingsError as error:
        sys.exit(f"cdk.json: {error}")
