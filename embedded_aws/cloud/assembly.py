"""Reads a CDK cloud assembly: its stacks, and the files to publish before they are deployed."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_OLDEST = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can hold


class AssemblyError(Exception):
    """The assembly does not have the requested stack; the message lists the stacks that it has."""


@dataclass(frozen=True)
class FileAsset:
    """A file or directory that the stack expects in a bucket."""

    source: Path
    packaging: str
    bucket: str
    key: str

    def content(self) -> bytes:
        """Return what is published: the file itself, or the directory as a zip file."""
        return self.source.read_bytes() if self.packaging == "file" else zip_directory(self.source)


@dataclass(frozen=True)
class AssembledStack:
    """A stack of an assembly, with the placeholders for account, region and partition filled in.

    Attributes
    ----------
    template_bucket, template_key
        The bucket and the key under which the template is published.
    bootstrap_parameter
        The SSM parameter in which ``cdk bootstrap`` stores its version, if the template checks it.
    """

    name: str
    assets: tuple[FileAsset, ...]
    template_bucket: str
    template_key: str
    bootstrap_parameter: str | None
    tags: Mapping[str, str]
    termination_protection: bool


def read_stack(assembly: Path, name: str | None, *, account: str, region: str) -> AssembledStack:
    """Read a stack of an assembly.

    Parameters
    ----------
    assembly
        The directory that ``cdk synth`` wrote.
    name
        The stack's name; None if the assembly has only one.

    Raises
    ------
    AssemblyError
        If there is no such stack, or no name is given and there are several stacks.
    """
    artifacts = json.loads((assembly / "manifest.json").read_text())["artifacts"]
    stacks = {
        artifact["properties"].get("stackName", key): artifact
        for key, artifact in artifacts.items()
        if artifact["type"] == "aws:cloudformation:stack"
    }
    if name is None and len(stacks) == 1:
        name = next(iter(stacks))
    if name is None or name not in stacks:
        raise AssemblyError(f"{assembly} has no stack {name}; name one of {', '.join(sorted(stacks))}")
    properties = stacks[name]["properties"]
    values = {"AWS::AccountId": account, "AWS::Region": region, "AWS::Partition": "aws"}
    url = _fill(properties["stackTemplateAssetObjectUrl"], values)
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return AssembledStack(
        name=name,
        assets=tuple(_assets(assembly, artifacts, stacks[name], values)),
        template_bucket=bucket,
        template_key=key,
        bootstrap_parameter=properties.get("bootstrapStackVersionSsmParameter"),
        tags=properties.get("tags", {}),
        termination_protection=properties.get("terminationProtection", False),
    )


def _assets(assembly: Path, artifacts: Any, stack: Any, values: Mapping[str, str]) -> Iterator[FileAsset]:
    for dependency in stack.get("dependencies", []):
        if artifacts[dependency]["type"] == "cdk:asset-manifest":
            manifest = json.loads((assembly / artifacts[dependency]["properties"]["file"]).read_text())
            for asset in manifest.get("files", {}).values():
                source = asset["source"]
                for destination in asset["destinations"].values():
                    bucket = _fill(destination["bucketName"], values)
                    yield FileAsset(assembly / source["path"], source["packaging"], bucket, destination["objectKey"])


def zip_directory(directory: Path) -> bytes:
    """Return a directory as a zip file that depends only on the names, modes and contents of its files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(directory).as_posix(), _OLDEST)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (path.stat().st_mode & 0xFFFF) << 16
                archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def _fill(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    return text
