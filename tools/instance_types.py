"""Write contract/instance_types.json: the families of SageMaker's instance types that each region offers.

The source is cfn-lint's data, which its authors generate from AWS's price lists: ``python -m tools.instance_types``.
"""

import json
from importlib.resources import files
from pathlib import Path

TARGET = Path(__file__).parents[1] / "contract" / "instance_types.json"

# The price lists do not list instance types for training separately, so the types for processing are used.
_SCHEMAS = {"hosting": "aws_sagemaker_hosting", "training": "aws_sagemaker_processing"}


def instance_families() -> dict[str, dict[str, list[str]]]:
    """Return the families, such as ``m5``, by region and by use (``hosting`` or ``training``)."""
    found: dict[str, dict[str, list[str]]] = {}
    for use, schema in _SCHEMAS.items():
        document = files(f"cfnlint.data.schemas.extensions.{schema}").joinpath("instancetype_enum.json").read_text()
        for region, types in sorted(json.loads(document).items()):
            if isinstance(types, dict):
                families = sorted({name.split(".")[1] for name in types["enum"] if name.startswith("ml.")})
                found.setdefault(region, {})[use] = families
    return dict(sorted(found.items()))


def as_text(families: dict[str, dict[str, list[str]]]) -> str:
    """Return the file's text: one region per line, so that a change to a region changes one line."""
    lines = []
    for region, uses in families.items():
        entry = {use: " ".join(names) for use, names in uses.items()}
        lines.append(f"  {json.dumps(region)}: {json.dumps(entry)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    written = instance_families()
    TARGET.write_text(as_text(written))
    print(f"{TARGET.name}: {len(written)} regions")
