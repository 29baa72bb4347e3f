"""The permissions of each function and of the state machine."""

from dataclasses import dataclass

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from contract.layout import ANY_RUN, ANY_SERIES, INCOMING_PREFIX, LATEST
from contract.names import ENDPOINT_LOGS, Stage, resource_pattern
from infra.encryption import Encryption
from infra.flow import MAPS
from infra.functions import Functions
from infra.model_stage import sagemaker_arn
from infra.policies import allow
from infra.settings import Settings
from infra.storage import Storage
from infra.workflow import Workflow, execution_arns, state_machine_arn

_NAMED_BY_RUN = "Every run names its own, and has its own folder"
_NO_RESOURCE = "SageMaker's List actions take no resource"

NOT_REHEARSED: dict[tuple[str, str], str] = {
    ("prepare", "s3:AbortMultipartUpload"): "Only when an upload in parts fails half way.",
    ("publish", "s3:AbortMultipartUpload"): "Only when an upload in parts fails half way.",
    ("publish", "s3:ListBucket"): "Without it, S3 reports a missing history as 'access denied' instead of missing.",
    ("align", "s3:ListBucket"): "Without it, S3 reports a missing history as 'access denied' instead of missing.",
    ("align", "s3:PutObjectTagging"): "AWS asks for it when an object is put with tags.",
    ("prepare", "s3:PutObjectTagging"): "AWS asks for it when an object is put with tags.",
    ("project", "s3:PutObjectTagging"): "AWS asks for it when an object is put with tags.",
    ("fresh_starts", "s3:PutObjectTagging"): "AWS asks for it when an object is put with tags.",
    ("adopt", "s3:ListBucket"): "Without it, S3 reports a missing history as 'access denied' instead of missing.",
    ("adopt", "s3:PutObjectTagging"): "AWS asks for it when an object is put with tags.",
    ("label", "s3:PutObjectTagging"): "AWS asks for it when an object is put with tags.",
    ("launch_training", "sagemaker:AddTags"): "AWS asks for it when CreateTrainingJob carries tags.",
    ("launch_endpoint", "sagemaker:AddTags"): "AWS asks for it when a model, config or endpoint is made with tags.",
    ("launch_training", "sagemaker:ListTags"): "Only when a job of that name is there already.",
    ("launch_endpoint", "sagemaker:ListTags"): "Only when an endpoint of that name is there already.",
    ("launch_endpoint", "sagemaker:DescribeModel"): "Only when a model of that name is there already.",
    ("launch_endpoint", "sagemaker:DescribeEndpointConfig"): "Only when an endpoint of that name is there already.",
    ("teardown", "sagemaker:StopTrainingJob"): "Only when a run fails while it trains.",
    ("record_failure", "states:ListMapRuns"): "Only when a shard failed for good: finds its error.",
    ("record_failure", "states:ListExecutions"): "Only when a shard failed for good: finds its error.",
    ("record_failure", "states:DescribeExecution"): "Only when a shard failed for good: finds its error.",
    ("start_run", "sqs:SendMessage"): "Only for an event in the queue that can start no run.",
    ("sweep", "sqs:SendMessage"): "Lambda sends events there that the function failed to handle.",
    ("start_run", "sqs:ChangeMessageVisibility"): "Only when another invocation has taken the last room.",
    ("prepare", "s3:ListBucket"): "Amazon S3 reports a deleted object as not found only to a caller who may list.",
    ("teardown", "sagemaker:DescribeEndpoint"): "Only when a list does not show a new endpoint yet.",
    ("sweep", "sagemaker:DescribeEndpoint"): "Only when a list does not show a new endpoint yet.",
    ("sweep", "logs:DeleteLogGroup"): "Only when the log group of an endpoint has expired.",
    ("start_run", "s3:GetObject"): "Only for a deliberate re-run, which names the object by hand.",
    ("start_run", "s3:GetObjectVersion"): "Only for a deliberate re-run of an older version.",
    ("*", "xray:PutTraceSegments"): "Lambda sends the function's trace.",
    ("*", "xray:PutTelemetryRecords"): "Lambda sends the function's trace.",
    ("launch_endpoint", "kms:CreateGrant"): "SageMaker uses the customer key for an endpoint on the caller's behalf.",
    ("launch_endpoint", "kms:DescribeKey"): "SageMaker uses the customer key for an endpoint on the caller's behalf.",
    ("*", "kms:Decrypt"): "Amazon S3 and SNS use the customer key on the caller's behalf.",
    ("*", "kms:GenerateDataKey"): "Amazon S3 and SNS use the customer key on the caller's behalf.",
}
"""Why a function has a permission that a rehearsal does not use, by function (``*`` for all) and action."""

_LOG_DELIVERY = (
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
)
_TRACES = (
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
)
_CONTROL_OF_MAPS = ("states:DescribeExecution", "states:StopExecution", "states:RedriveExecution")

_PAGES = "https://docs.aws.amazon.com/step-functions/latest/dg"
STATE_MACHINE_NOT_REHEARSED: dict[str, str] = {
    **dict.fromkeys(_LOG_DELIVERY, f"Step Functions delivers the machine's log as this role. {_PAGES}/cw-logs.html"),
    **dict.fromkeys(_TRACES, f"Step Functions sends traces as this role. {_PAGES}/concepts-xray-tracing.html"),
    **dict.fromkeys(
        _CONTROL_OF_MAPS,
        "Step Functions follows, stops and redrives a distributed map's executions as this role."
        f" {_PAGES}/iam-policies-eg-dist-map.html",
    ),
}
"""Why the state machine has permissions that a rehearsal does not use, and the page on which AWS requires them."""


@dataclass(frozen=True)
class Resources:
    """The resources that the functions use."""

    scope: Construct
    settings: Settings
    storage: Storage
    encryption: Encryption
    topic: sns.Topic
    execution_role: iam.Role
    queue: sqs.Queue


def grant_all(functions: Functions, workflow: Workflow, resources: Resources) -> None:
    """Allow each function and the state machine what they need."""
    grants = _Grants(functions, resources)
    grants.state_machine(workflow.role)
    grants.start_run()
    grants.prepare()
    grants.launchers()
    if resources.settings.hosts_models:
        grants.hosting()
    grants.inference()
    grants.clustering()
    grants.series()
    grants.publish()
    grants.record_failure()
    grants.cleaners()


class _Grants:
    def __init__(self, functions: Functions, resources: Resources) -> None:
        self._functions = functions
        self._given = resources
        self._machine = state_machine_arn(resources.scope, resources.settings)
        self._executions = execution_arns(resources.scope, resources.settings)

    def state_machine(self, role: iam.Role) -> None:
        invoked = [
            "prepare",
            "launch_training",
            "project",
            "choose_clusters",
            "align",
            "adopt",
            "stability",
            "label",
            "publish",
        ]
        if self._given.settings.refine:
            invoked += ["fresh_starts", "refine"]
        if self._given.settings.hosts_models:
            invoked.append("launch_endpoint")
        functions = [self._functions[name].function_arn for name in (*invoked, "teardown", "record_failure")]
        allow(role, ["lambda:InvokeFunction"], functions)
        allow(role, ["sagemaker:DescribeTrainingJob"], [self._sagemaker("training-job")], because=_NAMED_BY_RUN)
        if self._given.settings.hosts_models:
            allow(role, ["sagemaker:DescribeEndpoint"], [self._sagemaker("endpoint")], because=_NAMED_BY_RUN)
        allow(role, ["s3:GetObject"], self._results((ANY_RUN.shards,)), because=_NAMED_BY_RUN)
        if self._given.encryption.data_key is not None:
            # Step Functions reads the list of shards as this role.
            allow(role, ["kms:Decrypt"], [self._given.encryption.data_key.key_arn])
        allow(role, ["states:StartExecution"], [self._machine])
        children = [execution_arns(self._given.scope, self._given.settings, of_map=name) for name in MAPS]
        because = "Step Functions names the executions of a distributed map"
        allow(role, _CONTROL_OF_MAPS, children, because=because)
        allow(role, _LOG_DELIVERY, ["*"], because="The actions of log delivery take no resource")
        allow(role, _TRACES, ["*"], because="The actions of X-Ray take no resource")

    def start_run(self) -> None:
        role = self._functions.role("start_run")
        allow(role, ["states:StartExecution", "states:ListExecutions"], [self._machine])
        receive = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
        allow(role, receive, [self._given.queue.queue_arn])
        allow(role, ["sqs:SendMessage"], [self._functions.dead_letters.queue_arn])
        self._read_input("start_run", "s3:GetObject", "s3:GetObjectVersion")
        # SQS decrypts messages that are received, and encrypts those that are sent, as the function's role.
        self._use_data_key("start_run", "kms:Decrypt", "kms:GenerateDataKey")

    def prepare(self) -> None:
        # Exactly the version that started the run, never the latest.
        self._read_input("prepare", "s3:GetObjectVersion")
        # Without s3:ListBucket, S3 reports a deleted object as "access denied" instead of "not found".
        allow(self._functions.role("prepare"), ["s3:ListBucket"], [self._given.storage.incoming.bucket_arn])
        self._write("prepare", f"{ANY_RUN.prepared}*", ANY_RUN.problems)
        self._write_in_parts("prepare", ANY_RUN.regions)
        self._let_expire("prepare", f"{ANY_RUN.prepared}*")

    def launchers(self) -> None:
        self._launch("launch_training", "training-job", ["CreateTrainingJob", "DescribeTrainingJob", "ListTags"])
        self._pass_execution_role("launch_training")

    def hosting(self) -> None:
        endpoint = ["CreateEndpoint", "DescribeEndpoint", "ListTags"]
        config = ["CreateEndpointConfig", "DescribeEndpointConfig", "ListTags"]
        self._launch("launch_endpoint", "endpoint", endpoint)
        self._launch("launch_endpoint", "endpoint-config", config)
        self._launch("launch_endpoint", "model", ["CreateModel", "DescribeModel", "ListTags"])
        # SageMaker grants the volumes of an encrypted endpoint the key on behalf of the caller of CreateEndpoint.
        self._use_data_key("launch_endpoint", "kms:CreateGrant", "kms:DescribeKey")
        # AWS authorizes CreateEndpoint on the endpoint and on its config.
        allow(
            self._functions.role("launch_endpoint"),
            ["sagemaker:CreateEndpoint"],
            [self._sagemaker("endpoint-config")],
            because=_NAMED_BY_RUN,
        )
        self._pass_execution_role("launch_endpoint")
        self._invoke("project", "pca")
        self._invoke("label", "kmeans")

    def inference(self) -> None:
        self._read("project", ANY_RUN.train_part("*"), ANY_RUN.scaler, f"{ANY_RUN.model('pca')}*")
        self._write("project", ANY_RUN.projected_part("*"), ANY_RUN.sampled_part("*"))
        self._let_expire("project", ANY_RUN.projected_part("*"), ANY_RUN.sampled_part("*"))
        shard = [ANY_RUN.train_part("*"), ANY_RUN.projected_part("*")]
        run = (ANY_RUN.regions, ANY_RUN.scaler, ANY_RUN.stability, ANY_RUN.alignment, ANY_RUN.previous_model)
        self._read("label", *shard, *run, f"{ANY_RUN.model('kmeans')}*")
        self._write("label", f"{ANY_RUN.labeled}*")
        self._let_expire("label", f"{ANY_RUN.labeled}*")

    def clustering(self) -> None:
        sample = (ANY_RUN.shards, ANY_RUN.sampled_part("*"))
        model = f"{ANY_RUN.model('kmeans')}*"
        self._read("choose_clusters", *sample)
        self._write("choose_clusters", ANY_RUN.elbow)
        self._read("stability", *sample, model)
        self._write("stability", ANY_RUN.stability)
        if self._given.settings.refine:
            self._read("fresh_starts", *sample)
            self._write_artifact("fresh_starts", ANY_RUN.fresh_starts)
            self._read("refine", *sample, model, ANY_RUN.projected_part("*"), ANY_RUN.fresh_starts)
            self._write("refine", ANY_RUN.refinement, ANY_RUN.refined_model)

    def series(self) -> None:
        for name in ("align", "adopt"):
            # The models of this run and of an earlier one in its series.
            self._read(name, ANY_RUN.scaler, f"{ANY_RUN.models}*", ANY_RUN.segments, ANY_SERIES.history)
            # Without s3:ListBucket, S3 reports a missing history as "access denied" instead of "not found".
            allow(self._functions.role(name), ["s3:ListBucket"], [self._given.storage.results.bucket_arn])
            self._write_artifact(name, ANY_RUN.alignment, ANY_RUN.previous_model)
        self._write("align", ANY_SERIES.history)
        self._read("adopt", ANY_RUN.stability)
        self._write("adopt", ANY_RUN.stability, ANY_RUN.problems)

    def publish(self) -> None:
        role = self._functions.role("publish")
        folders = [f"{ANY_RUN.models}*", f"{ANY_RUN.labeled}*"]
        measures = (ANY_RUN.elbow, ANY_RUN.stability, *([ANY_RUN.refinement] * self._given.settings.refine))
        aligned = (ANY_RUN.alignment, ANY_RUN.previous_model)
        self._read("publish", ANY_RUN.shards, ANY_RUN.scaler, *measures, *aligned, *folders)
        self._write("publish", ANY_RUN.segments, ANY_RUN.report, ANY_RUN.manifest, ANY_RUN.changes)
        self._write_in_parts("publish", ANY_RUN.labeled_counties)
        # The results of the previous run in the series. A conditional write also needs s3:GetObject.
        self._read("publish", ANY_RUN.labeled_counties, ANY_RUN.segments, ANY_SERIES.history, ANY_SERIES.latest)
        self._write("publish", ANY_SERIES.history, ANY_SERIES.latest)
        allow(role, ["s3:ListBucket"], [self._given.storage.results.bucket_arn])
        allow(role, ["s3:PutObject"], [self._given.storage.results.arn_for_objects(LATEST)])
        allow(role, ["states:GetExecutionHistory"], [self._executions], because=_NAMED_BY_RUN)
        bus = Stack.of(self._given.scope).format_arn(
            service="events",
            resource="event-bus",
            resource_name="default",
        )
        allow(role, ["events:PutEvents"], [bus])
        self._notify("publish")

    def record_failure(self) -> None:
        self._write("record_failure", ANY_RUN.failure)
        self._notify("record_failure")
        # A distributed map reports only that a shard failed; the error is in one of the map's executions.
        role, stack = self._functions.role("record_failure"), Stack.of(self._given.scope)
        allow(role, ["states:ListMapRuns"], [self._executions], because=_NAMED_BY_RUN)
        map_runs = stack.format_arn(
            service="states",
            resource="mapRun",
            resource_name=f"{self._given.settings.deployment_id}/*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        # The service authorization reference does not say which of these two resources IAM checks.
        listed = [map_runs, self._machine]
        allow(role, ["states:ListExecutions"], listed, because="Step Functions names the map's runs")
        children = [execution_arns(self._given.scope, self._given.settings, of_map=name) for name in MAPS]
        allow(role, ["states:DescribeExecution"], children, because="Step Functions names the map's executions")

    def cleaners(self) -> None:
        listings, removals = ["ListTrainingJobs"], {"training-job": "StopTrainingJob"}
        if self._given.settings.hosts_models:
            listings += ["ListEndpoints", "ListEndpointConfigs", "ListModels"]
            removals |= {
                "endpoint": "DeleteEndpoint",
                "endpoint-config": "DeleteEndpointConfig",
                "model": "DeleteModel",
            }
        for name in ("teardown", "sweep"):
            role = self._functions.role(name)
            allow(role, [f"sagemaker:{action}" for action in listings], ["*"], because=_NO_RESOURCE)
            for kind, action in removals.items():
                allow(role, [f"sagemaker:{action}"], [self._sagemaker(kind)], because=_NAMED_BY_RUN)
            if self._given.settings.hosts_models:
                allow(role, ["sagemaker:DescribeEndpoint"], [self._sagemaker("endpoint")], because=_NAMED_BY_RUN)
            owned = [self._sagemaker(kind) for kind in removals]
            allow(role, ["sagemaker:ListTags"], owned, because=_NAMED_BY_RUN)
        sweep = self._functions.role("sweep")
        if self._given.settings.hosts_models:
            self._keep_endpoint_logs(sweep)
        allow(sweep, ["states:DescribeExecution"], [self._executions], because=_NAMED_BY_RUN)
        # Lambda encrypts, as the function's role, the events that the function failed to handle.
        self._use_data_key("sweep", "kms:Decrypt", "kms:GenerateDataKey")

    def _keep_endpoint_logs(self, role: iam.Role) -> None:
        """Allow the janitor to set the retention period of endpoints' logs."""
        stack = Stack.of(self._given.scope)
        everything, own = (
            stack.format_arn(
                service="logs",
                resource="log-group",
                resource_name=name,
                arn_format=ArnFormat.COLON_RESOURCE_NAME,
            )
            for name in ("*", f"{ENDPOINT_LOGS}{resource_pattern(self._given.settings.deployment_id)}:*")
        )
        allow(role, ["logs:DescribeLogGroups"], [everything], because="The action lists groups by a prefix")
        allow(role, ["logs:PutRetentionPolicy", "logs:DeleteLogGroup"], [own], because=_NAMED_BY_RUN)

    def _sagemaker(self, kind: str, stage: Stage | None = None) -> str:
        return sagemaker_arn(kind, resource_pattern(self._given.settings.deployment_id, stage))

    def _launch(self, name: str, kind: str, actions: list[str]) -> None:
        granted = [f"sagemaker:{action}" for action in (*actions, "AddTags")]
        allow(self._functions.role(name), granted, [self._sagemaker(kind)], because=_NAMED_BY_RUN)

    def _pass_execution_role(self, name: str) -> None:
        allow(
            self._functions.role(name),
            ["iam:PassRole"],
            [self._given.execution_role.role_arn],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        )

    def _invoke(self, name: str, stage: Stage) -> None:
        endpoints = self._sagemaker("endpoint", stage)
        allow(self._functions.role(name), ["sagemaker:InvokeEndpoint"], [endpoints], because=_NAMED_BY_RUN)

    def _read_input(self, name: str, *actions: str) -> None:
        objects = self._given.storage.incoming.arn_for_objects(f"{INCOMING_PREFIX}*")
        because = "People name the CSVs that they drop"
        allow(self._functions.role(name), actions, [objects], because=because)
        self._use_data_key(name, "kms:Decrypt")

    def _read(self, name: str, *files: str) -> None:
        allow(self._functions.role(name), ["s3:GetObject"], self._results(files), because=_NAMED_BY_RUN)
        self._use_data_key(name, "kms:Decrypt")

    def _write(self, name: str, *files: str) -> None:
        allow(self._functions.role(name), ["s3:PutObject"], self._results(files), because=_NAMED_BY_RUN)
        self._use_data_key(name, "kms:GenerateDataKey")

    def _write_artifact(self, name: str, *files: str) -> None:
        self._write(name, *files)
        self._let_expire(name, *files)

    def _write_in_parts(self, name: str, *files: str) -> None:
        self._write(name, *files)
        allow(self._functions.role(name), ["s3:AbortMultipartUpload"], self._results(files), because=_NAMED_BY_RUN)
        # S3 decrypts the parts to combine them.
        self._use_data_key(name, "kms:Decrypt")

    def _let_expire(self, name: str, *files: str) -> None:
        """Allow a function to tag artifacts, which the lifecycle rule of the results bucket selects by this tag."""
        allow(self._functions.role(name), ["s3:PutObjectTagging"], self._results(files), because=_NAMED_BY_RUN)

    def _results(self, files: tuple[str, ...]) -> list[str]:
        return [self._given.storage.results.arn_for_objects(file) for file in files]

    def _notify(self, name: str) -> None:
        role = self._functions.role(name)
        allow(role, ["sns:Publish"], [self._given.topic.topic_arn])
        allow(role, ["kms:Decrypt", "kms:GenerateDataKey"], [self._given.encryption.topic_key.key_arn])

    def _use_data_key(self, name: str, *actions: str) -> None:
        if self._given.encryption.data_key is not None:
            allow(self._functions.role(name), list(actions), [self._given.encryption.data_key.key_arn])
