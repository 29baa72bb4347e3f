"""Context -> settings -> stack. Calls no AWS, so it synthesizes anywhere, without credentials."""

import json
import sys

from aws_cdk import App

from infra.settings import Settings, SettingsError
from infra.sources import PROJECT
from infra.stack import SegmentationStack

_CDK_JSON = PROJECT / "cdk.json"
# Metadata that would make the template depend on who synthesized it, and how.
_NO_METADATA = {"aws:cdk:enable-path-metadata": False, "aws:cdk:enable-asset-metadata": False}


def build() -> App:
    """Return the app, with the settings of cdk.json and whatever the command line overrides.

    Raises
    ------
    SettingsError
        When a setting can't be.
    """
    app = App(
        context=json.loads(_CDK_JSON.read_text())["context"],
        post_cli_context=_NO_METADATA,
        analytics_reporting=False,
    )
    SegmentationStack(app, settings=Settings.from_context(app.node.get_all_context()))
    return app


def main() -> None:
    """Synthesize; a setting that can't be ends in one line."""
    try:
        build().synth()
    except SettingsError as error:
        sys.exit(f"cdk.json: {error}")
