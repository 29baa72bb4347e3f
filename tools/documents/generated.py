"""The generated documents, by their names in docs/."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra import diagram, settings_docs
from local.synth import synth
from tools import decisions
from tools.documents import command_line, errors, files, permissions


def documents(assembly: Path) -> dict[str, str]:
    """Return the text of each document.

    Parameters
    ----------
    assembly
        A folder for the synthesized stack; an assembly that is already there is used if it is up to date.
    """
    template = template_of(assembly)
    return {
        "settings.md": settings_docs.render(),
        "flow.svg": diagram.draw(template),
        "permissions.md": permissions.render(template),
        "errors.md": errors.render(template),
        "command-line.md": command_line.render(),
        "files.md": files.render(),
        "decisions/README.md": decisions.render(),
        **{f"schemas/{name}": text for name, text in files.schemas().items()},
    }


def template_of(assembly: Path) -> Mapping[str, Any]:
    """Return the template of the stack with the settings of cdk.json."""
    (path,) = synth(assembly).glob("*.template.json")
    return dict(json.loads(path.read_text(encoding="utf-8")))
