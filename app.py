#!/usr/bin/env python3
"""The CDK app: context -> settings -> stack. Calls no AWS, so it synthesizes anywhere."""

import json
import sys
from pathlib import Path

from aws_cdk import App

from infra.settings import Settings, SettingsError
from infra.stack import SegmentationStack

# Metadata that would make the template depend on who synthesized it, and how.
_NO_METADATA = {"aws:cdk:enable-path-metadata": False, "aws:cdk:enable-asset-metadata": False}


def build() -> App:
    """Return the app, with the settings of cdk.json and whatever the command line overrides."""
    defaults = json.loads(Path(__file__).with_name("cdk.json").read_text())["context"]
    app = App(context=defaults, post_cli_context=_NO_METADATA, analytics_reporting=False)
    SegmentationStack(app, settings=Settings.from_context(app.node.get_all_context()))
    return app


if __name__ == "__main__":
    try:
        build().synth()
    except SettingsError as error:
        sys.exit(f"cdk.json: {error}")
