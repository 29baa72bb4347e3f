"""Synthesize the stack, and put its template into an embedded AWS the way the CDK CLI would into a real one.

The CLI assumes roles that the bootstrap stack makes; here the administrator publishes the assets and
creates the stack. The template is the same to the byte as that of a plain ``npx cdk synth``: only the
dependency layers aren't built, by the CDK's own ``aws:cdk:bundling-stacks``.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.cloud.instance import Cloud

ROOT = Path(__file__).resolve().parents[2]
_SYNTH_INPUTS = ("app.py", "cdk.json", "requirements.txt", "contract", "infra", "jobs", "lambdas", "layers")
_STACK_SECONDS = 120.0
_OLDEST = (1980, 1, 1, 0, 0, 0)
_BOOTSTRAP_VERSION = "30"


class SynthError(Exception):
    """The app could not be synthesized; the message is the app's own last words."""


class DeployError(Exception):
    """CloudFormation refused or failed; the message names the resource and the reason."""


@dataclass(frozen=True)
class Outputs:
    """A deployed stack's outputs.

    Attributes
    ----------
    stack_name
        The stack's name.
    values
        Output name -> value.
    """

    stack_name: str
    values: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.values[name]


def synth(outdir: Path, context: Mapping[str, Any] | None = None, *, bundle: bool = False, reuse: bool = True) -> Path:
    """Synthesize the app into ``outdir`` and return it.

    Parameters
    ----------
    outdir
        The cloud assembly's directory, as ``cdk synth --output`` takes it.
    context
        Context on top of ``cdk.json``'s, as ``cdk --context`` gives it. Of ``segmentation``, a mapping,
        only the keys given here replace ``cdk.json``'s.
    bundle
        Whether dependency layers are built.
    reuse
        Whether an assembly made from the very same files and context is taken as it is.

    Raises
    ------
    SynthError
        If the app refuses, for instance a bad setting.
    """
    outdir = outdir.resolve()
    full_context = _context(context or {}, bundle=bundle)
    fingerprint = _fingerprint(full_context)
    stamp = outdir / ".fingerprint"
    with _one_at_a_time(outdir):
        if not (reuse and stamp.exists() and stamp.read_text() == fingerprint):
            stamp.unlink(missing_ok=True)
            _run_app(outdir, full_context)
            stamp.write_text(fingerprint)
    return outdir


@contextmanager
def _one_at_a_time(outdir: Path) -> Iterator[None]:
    """Let one process synthesize into a directory; another that wanted the same finds it done."""
    outdir.mkdir(parents=True, exist_ok=True)
    with (outdir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run_app(outdir: Path, context: Mapping[str, Any]) -> None:
    variables = os.environ | {
        "CDK_OUTDIR": str(outdir),
        "CDK_CONTEXT_JSON": json.dumps(context),
        # CDK's own check of the template takes longer than all the rest; cfn-lint and cdk-nag check it in the tests.
        "CDK_VALIDATION": "false",
        "NODE_NO_WARNINGS": "1",
    }
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise SynthError(words[-1] if words else f"app.py ended with {done.returncode}")


def deploy(cloud: Cloud, assembly: Path, stack_name: str | None = None) -> Outputs:
    """Publish a cloud assembly's assets and create or update its stack.

    Parameters
    ----------
    cloud
        Where to.
    assembly
        The directory that :func:`synth` returned.
    stack_name
        Which of its stacks; may be left out where there is only one.

    Raises
    ------
    DeployError
        If the stack ends in another state than complete; it names the first resource that failed and why.
    """
    stack = _read_stack(assembly, stack_name)
    _bootstrap(cloud, stack)
    _publish(cloud, stack)
    cloudformation = cloud.client("cloudformation")
    bucket, key = stack.template_object(cloud)
    request = {
        "StackName": stack.name,
        "TemplateURL": f"{cloud.endpoint_url}/{bucket}/{key}",
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        "Tags": [{"Key": name, "Value": value} for name, value in stack.tags.items()],
    }
    try:
        if _status(cloudformation, stack.name) is None:
            cloudformation.create_stack(**request, EnableTerminationProtection=stack.termination_protection)
        else:
            cloudformation.update_stack(**request)
    except ClientError as error:
        if "No updates are to be performed" not in str(error):
            raise DeployError(f"{stack.name}: {error.response['Error']['Message']}") from error
    status = _await_end(cloudformation, stack.name)
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise DeployError(f"{stack.name} is {status}: {_first_failure(cloudformation, stack.name)}")
    described = cloudformation.describe_stacks(StackName=stack.name)["Stacks"][0]
    values = {item["OutputKey"]: item["OutputValue"] for item in described.get("Outputs", [])}
    return Outputs(stack.name, values)


def destroy(cloud: Cloud, stack_name: str) -> None:
    """Delete a stack; what its template retains stays.

    Raises
    ------
    DeployError
        If something can't be deleted.
    """
    cloudformation = cloud.client("cloudformation")
    if _status(cloudformation, stack_name) is None:
        return
    try:
        cloudformation.delete_stack(StackName=stack_name)
    except ClientError as error:
        raise DeployError(f"{stack_name}: {error.response['Error']['Message']}") from error
    status = _await_end(cloudformation, stack_name)
    if status not in (None, "DELETE_COMPLETE"):
        raise DeployError(f"{stack_name} is {status}: {_first_failure(cloudformation, stack_name)}")


@dataclass(frozen=True)
class _Stack:
    """What an assembly says of one stack."""

    name: str
    directory: Path
    assets: Mapping[str, Any]
    template_url: str
    bootstrap_parameter: str | None
    tags: Mapping[str, str]
    termination_protection: bool

    def destinations(self, cloud: Cloud) -> Iterator[tuple[Path, str, str, str]]:
        """Yield (source, packaging, bucket, key) of every file asset."""
        for asset in self.assets.values():
            for destination in asset["destinations"].values():
                bucket = _fill(destination["bucketName"], cloud)
                source = asset["source"]
                yield self.directory / source["path"], source["packaging"], bucket, destination["objectKey"]

    def template_object(self, cloud: Cloud) -> tuple[str, str]:
        """Return the bucket and key of the published template."""
        bucket, _, key = _fill(self.template_url, cloud).removeprefix("s3://").partition("/")
        return bucket, key


def _read_stack(assembly: Path, name: str | None) -> _Stack:
    artifacts = json.loads((assembly / "manifest.json").read_text())["artifacts"]
    stacks = {
        artifact["properties"].get("stackName", key): artifact
        for key, artifact in artifacts.items()
        if artifact["type"] == "aws:cloudformation:stack"
    }
    if name is None and len(stacks) == 1:
        name = next(iter(stacks))
    if name is None or name not in stacks:
        raise DeployError(f"which stack? {assembly} has {', '.join(sorted(stacks))}; not {name}")
    properties = stacks[name]["properties"]
    files: dict[str, Any] = {}
    for dependency in stacks[name].get("dependencies", []):
        if artifacts[dependency]["type"] == "cdk:asset-manifest":
            manifest = assembly / artifacts[dependency]["properties"]["file"]
            files |= json.loads(manifest.read_text()).get("files", {})
    return _Stack(
        name=name,
        directory=assembly,
        assets=files,
        template_url=properties["stackTemplateAssetObjectUrl"],
        bootstrap_parameter=properties.get("bootstrapStackVersionSsmParameter"),
        tags=properties.get("tags", {}),
        termination_protection=properties.get("terminationProtection", False),
    )


def _bootstrap(cloud: Cloud, stack: _Stack) -> None:
    """Make what the assets and the template expect of ``cdk bootstrap``."""
    s3 = cloud.client("s3")
    for bucket in sorted({bucket for _, _, bucket, _ in stack.destinations(cloud)}):
        try:
            s3.head_bucket(Bucket=bucket)
        except ClientError:
            s3.create_bucket(Bucket=bucket)
    if stack.bootstrap_parameter:
        cloud.client("ssm").put_parameter(
            Name=stack.bootstrap_parameter, Value=_BOOTSTRAP_VERSION, Type="String", Overwrite=True
        )


def _publish(cloud: Cloud, stack: _Stack) -> None:
    s3 = cloud.client("s3")

    def publish(source: Path, packaging: str, bucket: str, key: str) -> None:
        body = source.read_bytes() if packaging == "file" else zip_directory(source)
        s3.put_object(Bucket=bucket, Key=key, Body=body)

    with ThreadPoolExecutor(4) as pool:
        for task in [pool.submit(publish, *each) for each in stack.destinations(cloud)]:
            task.result()


def zip_directory(directory: Path) -> bytes:
    """Return a directory as a zip that depends on nothing but names, modes and contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(directory).as_posix(), _OLDEST)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (path.stat().st_mode & 0xFFFF) << 16
                archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def _fill(text: str, cloud: Cloud) -> str:
    values = {"AWS::AccountId": cloud.account, "AWS::Region": cloud.region, "AWS::Partition": "aws"}
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    return text


def _context(context: Mapping[str, Any], *, bundle: bool) -> dict[str, Any]:
    """Return the context that the CDK CLI hands to an app: its own switches, ``cdk.json``'s, the caller's."""
    settings = json.loads((ROOT / "cdk.json").read_text())
    merged: dict[str, Any] = dict(settings.get("context", {}))
    for name, key in _CLI_SWITCHES.items():
        if settings.get(name, True):
            merged[key] = True
    if not bundle:
        merged["aws:cdk:bundling-stacks"] = []
    for key, value in context.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = {**merged[key], **value} if both else value
    return merged


_CLI_SWITCHES = {
    "pathMetadata": "aws:cdk:enable-path-metadata",
    "assetMetadata": "aws:cdk:enable-asset-metadata",
    "versionReporting": "aws:cdk:version-reporting",
}


def _fingerprint(context: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps([context, sys.version], sort_keys=True).encode())
    for name in _SYNTH_INPUTS:
        top = ROOT / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(ROOT)}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _status(cloudformation: Any, name: str) -> str | None:
    try:
        stacks = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    status = str(stacks[0]["StackStatus"])
    return None if status == "DELETE_COMPLETE" else status


def _await_end(cloudformation: Any, name: str) -> str | None:
    deadline = time.monotonic() + _STACK_SECONDS
    while time.monotonic() < deadline:
        status = _status(cloudformation, name)
        if status is None or not status.endswith("IN_PROGRESS"):
            return status
        time.sleep(0.05)
    raise DeployError(f"{name} is still {_status(cloudformation, name)} after {_STACK_SECONDS:.0f} s")


def _first_failure(cloudformation: Any, name: str) -> str:
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    failed = [event for event in events if event["ResourceStatus"].endswith("FAILED")]
    if not failed:
        return "CloudFormation gave no reason"
    first = failed[-1]  # events come newest first
    return f"{first['LogicalResourceId']} ({first['ResourceType']}): {first.get('ResourceStatusReason', '?')}"
