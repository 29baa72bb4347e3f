"""Checks an AWS account before anything is deployed into it; every request only reads."""

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, Literal

from botocore.exceptions import BotoCoreError, ClientError

from contract.instance_types import Use, lack_of_types, not_offered
from contract.names import STACK_TAG
from local.account import Account
from local.synth import NODE_VERSION, node_version
from local.template import Template

Verdict = Literal["ok", "warning", "failed"]

_PYTHON: Final = (3, 11)
_QUALIFIER: Final = re.compile(r"^/cdk-bootstrap/([^/]+)/version$")
_QUOTAS: Final[Mapping[Use, str]] = {"training": "training job usage", "hosting": "endpoint usage"}
"""The end of the names of Service Quotas' quotas of instances."""
_MISSING: Final = re.compile(r"NotFound|NonExistent|DoesNotExist|NoSuch|^404$")


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes
    ----------
    subject
        What was checked.
    finding
        What was found.
    remedy
        What to do about it; empty if nothing has to be done.
    """

    subject: str
    verdict: Verdict
    finding: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the row for ``--json``."""
        return asdict(self)


def tools() -> Iterator[Row]:
    """Check Node.js and Python, which synthesize the stack."""
    found = node_version()
    fine = found is not None and found >= NODE_VERSION
    remedy = "" if fine else f"install Node.js {NODE_VERSION} or newer"
    yield Row("Node.js", "ok" if fine else "failed", f"version {found or 'none'}", remedy)
    wanted = ".".join(map(str, _PYTHON))
    fine = sys.version_info >= _PYTHON
    version = ".".join(map(str, sys.version_info[:3]))
    yield Row("Python", "ok" if fine else "failed", f"version {version}", "" if fine else f"use Python {wanted}")


def check(account: Account, template: Template) -> Iterator[Row]:
    """Check an account for a stack.

    Without valid credentials, nothing but the credentials can be checked.

    Yields
    ------
    Row
        In the order of the table.
    """
    try:
        caller = account.identity["Arn"]
    except (ClientError, BotoCoreError) as error:
        remedy = "sign in, such as with: aws sso login; or choose a profile with --profile"
        yield Row("credentials", "failed", _reason(error), remedy)
        return
    yield Row("credentials", "ok", caller)
    for subject, rows in _CHECKS.items():
        try:
            yield from rows(account, template)
        except (ClientError, BotoCoreError) as error:
            yield Row(subject, "warning", f"not checked: {_reason(error)}", "let these credentials read it")


def _account_and_region(account: Account, template: Template) -> Iterator[Row]:
    number = account.identity["Account"]
    if template.account in (None, number):
        yield Row("account", "ok", number)
    else:
        finding = f"{number}, but the setting `account` is {template.account}"
        yield Row("account", "failed", finding, "use credentials of that account, or correct the setting")
    if template.region in (None, account.region):
        yield Row("region", "ok", account.region)
    else:
        finding = f"{account.region}, but the setting `region` is {template.region}"
        yield Row("region", "failed", finding, f"use --region {template.region}, or correct the setting")


def _images(account: Account, template: Template) -> Iterator[Row]:
    if account.region in template.image_regions:
        yield Row("images", "ok", f"SageMaker has images of PCA and k-means in {account.region}")
    else:
        finding = f"no images of PCA and k-means are known in {account.region}"
        yield Row("images", "failed", finding, f"choose one of {', '.join(sorted(template.image_regions))}")


def _bootstrap(account: Account, template: Template) -> Iterator[Row]:
    command = f"npx cdk bootstrap aws://{account.identity['Account']}/{account.region}"
    if (qualifier := _qualifier(template)) != "hnb659fds":
        command += f" --qualifier {qualifier}"
    try:
        parameter = account.client("ssm").get_parameter(Name=template.bootstrap_parameter)["Parameter"]
    except ClientError as error:
        if not _is_missing(error):
            raise
        yield Row("bootstrap", "failed", f"there is no {template.bootstrap_parameter}", f"run: {command}")
        return
    version = int(parameter["Value"])
    if version < template.bootstrap_version:
        finding = f"version {version}, but the stack needs {template.bootstrap_version}"
        yield Row("bootstrap", "failed", finding, f"run: {command}")
    else:
        yield Row("bootstrap", "ok", f"version {version}")


def _types(account: Account, template: Template) -> Iterator[Row]:
    """Check that the region offers the instance types, by the same list as the warning on synth."""
    remedy = "list another instance type in the setting"
    for use, types in _wanted_types(template).items():
        subject, sentence = f"{use}_instance_types", lack_of_types(types, account.region, use)
        if not sentence:
            yield Row(subject, "ok", f"{account.region} is not known to lack {', '.join(types)}")
        elif not _offered(types, account, use):
            yield Row(subject, "failed", sentence, remedy)
        else:
            yield Row(subject, "warning", sentence, f"{remedy}, or leave it")


def _quotas(account: Account, template: Template) -> Iterator[Row]:
    settings = template.run_settings
    pages = account.client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
    values = {quota["QuotaName"]: quota["Value"] for page in pages for quota in page["Quotas"]}
    needed = {"training": settings.training_instance_count, "hosting": settings.hosting_instance_count}
    used = {"training": _training_use, "hosting": _hosting_use}
    for use, types in _wanted_types(template).items():
        offered = _offered(types, account, use)
        yield from _quota_rows(offered, _QUOTAS[use], values, used[use](account), needed[use])


def _wanted_types(template: Template) -> dict[Use, list[str]]:
    settings = template.run_settings
    wanted: dict[Use, list[str]] = {"training": settings.training_instance_types}
    if settings.hosts_models:
        wanted["hosting"] = settings.hosting_instance_types
    return wanted


def _offered(types: list[str], account: Account, use: Use) -> list[str]:
    missing = not_offered(types, account.region, use)
    return [name for name in types if name not in missing]


def _quota_rows(
    types: list[str], usage: str, values: Mapping[str, float], used: Mapping[str, int], needed: int
) -> Iterator[Row]:
    """Return a row per instance type; a type that cannot be used is a failure only if no type of the list can."""
    free = {name: values.get(f"{name} for {usage}", -1) - used[name] for name in types}
    unusable: Verdict = "warning" if max(free.values(), default=0) >= needed else "failed"
    for name in types:
        subject, quota = f"{name} for {usage}", values.get(f"{name} for {usage}")
        if quota is None:
            finding = "the account has no such quota in this region"
            yield Row(subject, unusable, finding, "list another instance type in the settings")
        elif free[name] < needed:
            finding = f"quota {quota:.0f}, in use {used[name]}, needed {needed}"
            yield Row(subject, unusable, finding, f"request an increase of the quota {subject!r} in Service Quotas")
        else:
            yield Row(subject, "ok", f"quota {quota:.0f}, in use {used[name]}, needed {needed}")


def _training_use(account: Account) -> Counter[str]:
    sagemaker, used = account.client("sagemaker"), Counter[str]()
    for page in sagemaker.get_paginator("list_training_jobs").paginate(StatusEquals="InProgress"):
        for job in page["TrainingJobSummaries"]:
            found = sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"])["ResourceConfig"]
            used[found.get("InstanceType", "")] += found.get("InstanceCount", 0)
    return used


def _hosting_use(account: Account) -> Counter[str]:
    sagemaker, used = account.client("sagemaker"), Counter[str]()
    for page in sagemaker.get_paginator("list_endpoints").paginate():
        for endpoint in page["Endpoints"]:
            name = sagemaker.describe_endpoint(EndpointName=endpoint["EndpointName"])["EndpointConfigName"]
            for variant in sagemaker.describe_endpoint_config(EndpointConfigName=name)["ProductionVariants"]:
                used[variant.get("InstanceType", "")] += variant.get("InitialInstanceCount", 0)
    return used


def _permissions(account: Account, template: Template) -> Iterator[Row]:
    """Check that the deployer may assume the roles by which the CDK deploys."""
    caller = account.identity["Arn"]
    if caller.endswith(":root"):
        yield Row("permissions", "warning", "the root user may do everything", "deploy as a user or role instead")
        return
    partition, number = account.partition, account.identity["Account"]
    qualifier, region = _qualifier(template), account.region
    roles = [
        f"arn:{partition}:iam::{number}:role/cdk-{qualifier}-{name}-role-{number}-{region}"
        for name in ("deploy", "file-publishing")
    ]
    simulate = account.client("iam").get_paginator("simulate_principal_policy")
    pages = simulate.paginate(
        PolicySourceArn=_principal(account, caller), ActionNames=["sts:AssumeRole"], ResourceArns=roles
    )
    results = [result for page in pages for result in page["EvaluationResults"]]
    for result in results:
        role = result["EvalResourceName"].rpartition("/")[2]
        if result["EvalDecision"] == "allowed":
            yield Row("permissions", "ok", f"may assume {role}")
        else:
            remedy = f"allow sts:AssumeRole on {result['EvalResourceName']}"
            yield Row("permissions", "failed", f"may not assume {role}: {result['EvalDecision']}", remedy)


def _principal(account: Account, caller: str) -> str:
    """Return the ARN of the user or role to check; for a session, it is looked up, as a session's ARN has no path."""
    if ":assumed-role/" not in caller:
        return caller
    return str(account.client("iam").get_role(RoleName=caller.split("/")[1])["Role"]["Arn"])


def _collisions(account: Account, template: Template) -> Iterator[Row]:
    """Check whether resources outside the stack already have names that the stack needs."""
    stack = account.stack(template.name)
    if stack is not None:
        status = stack["StackStatus"]
        broken = status.endswith("FAILED") or status == "ROLLBACK_COMPLETE"
        remedy = f"delete it: aws cloudformation delete-stack --stack-name {template.name}" if broken else ""
        yield Row("stack", "failed" if broken else "ok", f"{template.name} exists and is {status}", remedy)
        return
    yield Row("stack", "ok", f"{template.name} does not exist yet")
    if taken := taken_names(account, template):
        remedy = "delete or rename them, or choose another `stage` or `name`"
        yield Row("names", "failed", f"taken: {', '.join(taken)}", remedy)
    else:
        yield Row("names", "ok", "free")


def taken_names(account: Account, template: Template) -> list[str]:
    """Return the functions, log groups, queues and so on that exist and have a name of the template's."""
    return [name for name, look in _names(account, template) if _exists(look)]


def _names(account: Account, template: Template) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the names of functions, log groups, the state machine, queues, topics and the key's alias."""
    client, number = account.client, account.identity["Account"]
    arn = f"arn:{account.partition}:{{}}:{account.region}:{number}:"
    for each in template.of_type("AWS::Lambda::Function"):
        name = each["FunctionName"]
        yield f"function {name}", partial(client("lambda").get_function_configuration, FunctionName=name)
    for each in template.of_type("AWS::Logs::LogGroup"):
        name = each["LogGroupName"]
        yield f"log group {name}", partial(_log_group, client("logs"), name)
    for each in template.of_type("AWS::StepFunctions::StateMachine"):
        machine = f"{arn.format('states')}stateMachine:{each['StateMachineName']}"
        yield machine, partial(client("stepfunctions").describe_state_machine, stateMachineArn=machine)
    for each in template.of_type("AWS::SQS::Queue"):
        name = each["QueueName"]
        yield f"queue {name}", partial(client("sqs").get_queue_url, QueueName=name)
    for each in template.of_type("AWS::SNS::Topic"):
        topic = f"{arn.format('sns')}{each['TopicName']}"
        yield topic, partial(client("sns").get_topic_attributes, TopicArn=topic)
    for each in template.of_type("AWS::KMS::Alias"):
        name = each["AliasName"]
        yield name, partial(client("kms").describe_key, KeyId=name)


def _log_group(logs: Any, name: str) -> bool:
    found = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return any(group["logGroupName"] == name for group in found)


def _exists(look: Callable[[], Any]) -> bool:
    try:
        return look() is not False
    except ClientError as error:
        if _is_missing(error):
            return False
        raise


def _buckets(account: Account, template: Template) -> Iterator[Row]:
    s3 = account.client("s3")
    for name in template.existing_buckets:
        if not _exists(partial(s3.head_bucket, Bucket=name)):
            yield Row(f"bucket {name}", "failed", "does not exist", "create it, or correct the setting")
        elif s3.get_bucket_versioning(Bucket=name).get("Status") != "Enabled":
            yield Row(f"bucket {name}", "failed", "is not versioned", "enable versioning")
        else:
            yield Row(f"bucket {name}", "ok", "exists and is versioned")
    incoming = template.run_settings.incoming_bucket
    if incoming in template.existing_buckets:
        found = s3.get_bucket_notification_configuration(Bucket=incoming)
        if "EventBridgeConfiguration" not in found:
            remedy = "enable its EventBridge notifications"
            yield Row(f"bucket {incoming}", "failed", "sends no events to EventBridge", remedy)


def _cost_tag(account: Account, template: Template) -> Iterator[Row]:
    found = account.client("ce").list_cost_allocation_tags(TagKeys=[STACK_TAG])["CostAllocationTags"]
    if any(tag["Status"] == "Active" for tag in found):
        yield Row("cost allocation tag", "ok", f"{STACK_TAG} is active")
    else:
        needed = "the budget counts nothing without it" if template.has_budget else "costs cannot be told apart"
        remedy = f"activate {STACK_TAG} in the Billing console after the first deployment"
        yield Row("cost allocation tag", "warning", f"{STACK_TAG} is not active: {needed}", remedy)


_CHECKS: Final[Mapping[str, Callable[[Account, Template], Iterable[Row]]]] = {
    "account and region": _account_and_region,
    "images": _images,
    "bootstrap": _bootstrap,
    "instance types": _types,
    "quotas": _quotas,
    "permissions": _permissions,
    "names": _collisions,
    "buckets": _buckets,
    "cost allocation tag": _cost_tag,
}


def _qualifier(template: Template) -> str:
    match = _QUALIFIER.match(template.bootstrap_parameter)
    if match is None:
        raise ValueError(f"{template.bootstrap_parameter!r} is not the parameter of a bootstrap stack")
    return match[1]


def _is_missing(error: ClientError) -> bool:
    return bool(_MISSING.search(error.response["Error"]["Code"]))


def _reason(error: Exception) -> str:
    if isinstance(error, ClientError):
        found = error.response["Error"]
        return f"{found['Code']}: {found['Message']}"
    return " ".join(str(error).split())
