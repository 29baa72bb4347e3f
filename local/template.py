"""Reads from a synthesized stack what it requires of the account."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.run_settings import VARIABLE, RunSettings


@dataclass(frozen=True)
class Template:
    """A synthesized stack.

    Attributes
    ----------
    name
        The stack's name.
    account, region
        The account and region to deploy to; ``None`` if the deployer's credentials decide.
    bootstrap_parameter
        The SSM parameter with the version of the bootstrap stack.
    bootstrap_version
        The lowest version of the bootstrap stack that it needs.
    resources
        By logical id.
    image_regions
        The regions in which SageMaker has images of PCA and k-means.
    """

    name: str
    account: str | None
    region: str | None
    bootstrap_parameter: str
    bootstrap_version: int
    resources: Mapping[str, Any]
    image_regions: frozenset[str]

    @classmethod
    def read(cls, assembly: Path) -> "Template":
        """Read the only stack of a cloud assembly."""
        artifacts = json.loads((assembly / "manifest.json").read_text())["artifacts"]
        ((name, stack),) = [each for each in artifacts.items() if each[1]["type"] == "aws:cloudformation:stack"]
        properties = stack["properties"]
        content = json.loads((assembly / properties["templateFile"]).read_text())
        account, region = stack["environment"].removeprefix("aws://").split("/")
        (registries,) = [each for key, each in content["Mappings"].items() if "Registries" in key]
        return cls(
            name=properties.get("stackName", name),
            account=None if account.startswith("unknown") else account,
            region=None if region.startswith("unknown") else region,
            bootstrap_parameter=properties["bootstrapStackVersionSsmParameter"],
            bootstrap_version=properties["requiresBootstrapStackVersion"],
            resources=content["Resources"],
            image_regions=frozenset(registries),
        )

    def of_type(self, kind: str) -> list[Mapping[str, Any]]:
        """Return the properties of the resources of a type."""
        return [each.get("Properties", {}) for each in self.resources.values() if each["Type"] == kind]

    @property
    def run_settings(self) -> RunSettings:
        """The settings of runs, with placeholders for values that are known only on deployment."""
        variables = self.of_type("AWS::Lambda::Function")[0]["Environment"]["Variables"]
        return RunSettings.from_environment({VARIABLE: _text(variables[VARIABLE])})

    @property
    def has_budget(self) -> bool:
        """Whether the stack has a budget, which needs an active cost allocation tag."""
        return bool(self.of_type("AWS::Budgets::Budget"))

    @property
    def existing_buckets(self) -> list[str]:
        """The buckets that must exist already, the incoming bucket first."""
        settings = self.run_settings
        return [name for name in (settings.incoming_bucket, settings.results_bucket) if _TOKEN not in name]


_TOKEN = "<known on deployment>"  # noqa: S105 - no secret


def _text(value: Any) -> str:
    """Return a value of a template as text, with a placeholder for each reference."""
    match value:
        case str():
            return value
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(_text(part) for part in parts)
    return _TOKEN
