"""Write docs/settings.md from the settings model: ``python -m infra.settings_docs``."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from contract.names import TAG_PREFIX
from infra.settings import CONTEXT_KEY, LOG_RETENTION_DAYS, SETTING_NAMES, Settings

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

_HEAD = f"""# Settings

`make docs` writes this page from `infra/settings.py` and `contract/run_settings.py`.

The object `{CONTEXT_KEY}` in `cdk.json` holds the settings that differ from these defaults. The command line
overrides any of them:

```
npx cdk deploy -c {CONTEXT_KEY}.stage=prod -c {CONTEXT_KEY}.clusters=auto
```

If a key is unknown or a value is not allowed, synth stops with one line that names the key, the value and what is
allowed.

| Setting | Type | Default | Allowed | Effect |
|---|---|---|---|---|
"""

_TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}
# The values that validators allow, where the schema is not precise enough.
_ALLOWED = {
    "log_retention_days": ", ".join(map(str, LOG_RETENTION_DAYS)),
    "training_instance_types": "SageMaker instance types for training, each once",
    "hosting_instance_types": "SageMaker instance types, each once",
    "tags": f"keys of 1 to 128 characters, not `aws:…` or `{TAG_PREFIX}…`",
    "alarm_email": "a mail address",
}


def render() -> str:
    """Return the page."""
    properties = TypeAdapter(Settings).json_schema()["properties"]
    return _HEAD + "".join(_row(name, properties[name]) for name in SETTING_NAMES)


def _row(name: str, schema: dict[str, Any]) -> str:
    variants = schema.get("anyOf", [schema])
    default = json.dumps(getattr(Settings(), name))
    allowed = _ALLOWED.get(name) or " or ".join(filter(None, map(_allowed, variants))) or "any"
    types = " or ".join(dict.fromkeys(_type(variant) for variant in variants))
    cells = [f"`{name}`", types, f"`{default}`", allowed, schema["description"]]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _type(schema: dict[str, Any]) -> str:
    match schema:
        case {"const": _} | {"enum": _}:
            return "text"
        case {"type": "array"}:
            return "list of text"
        case {"type": "object"}:
            return "object of text"
    return _TYPES[schema["type"]]


def _allowed(schema: dict[str, Any]) -> str:
    match schema:
        case {"const": value}:
            allowed = f"`{value}`"
        case {"enum": values}:
            allowed = ", ".join(f"`{value}`" for value in values)
        case {"minimum": low, "maximum": high}:
            allowed = f"{low:,} to {high:,}"
        case {"exclusiveMinimum": low, "maximum": high}:
            allowed = f"over {low:g}, up to {high:g}"
        case {"exclusiveMinimum": low}:
            allowed = f"over {low:g}"
        case {"minimum": low}:
            allowed = f"{low:,} or more"
        case {"pattern": pattern, "maxLength": longest}:
            allowed = f"`{pattern}`, at most {longest} characters"
        case {"pattern": pattern}:
            allowed = f"`{pattern}`"
        case _:
            allowed = ""
    return allowed


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render())
