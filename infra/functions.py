"""The Lambda functions: memory, time limit and layers of each function, with its own role and log group."""

from dataclasses import dataclass
from pathlib import Path
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory

from aws_cdk import Aws, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from contract.names import METRICS_NAMESPACE, function_name
from contract.run_settings import VARIABLE
from infra.encryption import Encryption
from infra.layers import RUNTIME, Layers
from infra.logging import build_log_group
from infra.policies import acknowledge, acknowledge_control, allow
from infra.queues import build_dead_letters
from infra.roles import build_role
from infra.settings import Settings
from infra.sources import FUNCTIONS

CALL_SECONDS = 60
"""Time limit of a function that only calls AWS: the calls take a second or two, and their retries may take longer."""
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions
_NETWORK_INTERFACES = (
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
)


@dataclass(frozen=True)
class FunctionSpec:
    """The specification of one function.

    Attributes
    ----------
    name
        Its module in ``lambdas/``.
    memory_mb
        Its memory, which determines its share of processors: 1,769 MB correspond to one processor.
    timeout_seconds
        Its time limit.
    science
        Whether it reads arrays and therefore needs the science layer.
    """

    name: str
    memory_mb: int
    timeout_seconds: int
    science: bool = False

    @property
    def construct_id(self) -> str:
        """The name in CamelCase."""
        return "".join(word.capitalize() for word in self.name.split("_"))


def function_specs(settings: Settings) -> list[FunctionSpec]:
    """Return every function of the stack."""
    inference, publish = settings.inference_timeout_seconds, settings.publish_timeout_seconds
    return [
        FunctionSpec("start_run", 256, CALL_SECONDS),
        FunctionSpec("prepare", 1_769, settings.prepare_timeout_seconds, science=True),
        FunctionSpec("launch_training", 256, CALL_SECONDS),
        *([FunctionSpec("launch_endpoint", 256, CALL_SECONDS)] if settings.hosts_models else []),
        FunctionSpec("project", 1_024, inference, science=True),
        FunctionSpec("choose_clusters", 1_769, publish, science=True),
        *([FunctionSpec(name, 1_769, publish, science=True) for name in ("fresh_starts", "refine")] * settings.refine),
        *(FunctionSpec(name, 1_024, CALL_SECONDS, science=True) for name in ("align", "adopt")),
        FunctionSpec("stability", 1_769, publish, science=True),
        FunctionSpec("label", 1_024, inference, science=True),
        FunctionSpec("publish", 1_769, publish, science=True),
        FunctionSpec("record_failure", 256, CALL_SECONDS),
        FunctionSpec("teardown", 256, CALL_SECONDS),
        FunctionSpec("sweep", 256, 300),
    ]


class Functions(Construct):
    """All functions by the name of their module, such as ``functions["prepare"]``.

    Attributes
    ----------
    code_version
        Changes whenever the functions' code does.
    dead_letters
        Events that started no run, or that ``sweep`` failed to handle.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, encryption: Encryption) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        self._encryption = encryption
        self._layers = Layers(self, "Layers")
        self._code = self._build_code()
        self.code_version = self._code.asset_hash[:12]
        self.dead_letters = build_dead_letters(
            self, "DeadLetters", name=f"{settings.deployment_id}-dead-letters", encryption=encryption
        )
        self._functions = {spec.name: self._build(spec) for spec in function_specs(settings)}
        self._roles = {name: self._role_of(function) for name, function in self._functions.items()}

    def __getitem__(self, name: str) -> lambda_.Function:
        return self._functions[name]

    def role(self, name: str) -> iam.Role:
        """Return the role of one function."""
        return self._roles[name]

    def set_run_settings(self, as_json: str) -> None:
        """Set the run settings as an environment variable of every function."""
        for function in self._functions.values():
            function.add_environment(VARIABLE, as_json)

    def _build_code(self) -> assets.Asset:
        # The files are copied first, because an asset of the whole project takes CDK half a minute despite exclusions.
        with TemporaryDirectory() as staged:
            for package in ("contract", "jobs", "lambdas"):
                copytree(FUNCTIONS / package, Path(staged, package), ignore=ignore_patterns("__pycache__"))
            code = assets.Asset(self, "Code", path=staged)
        no_version = "Annotation::@aws-cdk/aws-lambda:codeFromBucketObjectVersionNotSpecified"
        acknowledge(code, no_version, "The object's key is the hash of what it holds: new code has a new key")
        return code

    def _build(self, spec: FunctionSpec) -> lambda_.Function:
        name = function_name(self._settings.deployment_id, spec.name)
        log_group = build_log_group(
            self,
            f"{spec.construct_id}Logs",
            name=f"/aws/lambda/{name}",
            settings=self._settings,
            encryption=self._encryption,
        )
        role = build_role(
            self,
            f"{spec.construct_id}Role",
            settings=self._settings,
            name=name,
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"Taken by the function {name}",
        )
        streams = f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:/aws/lambda/{name}:*"
        allow(
            role,
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            [streams],
            because="Lambda names the log streams of the function's own log group",
        )
        acknowledge(role, "AwsSolutions-IAM5[Resource::*]", "X-Ray's actions take no resource")
        function = lambda_.Function(
            self,
            spec.construct_id,
            function_name=name,
            description=f"lambdas/{spec.name}.py",
            runtime=RUNTIME,
            architecture=lambda_.Architecture.X86_64,
            handler=f"lambdas.{spec.name}.handler",
            code=lambda_.Code.from_bucket_v2(self._code.bucket, self._code.s3_object_key),
            layers=[self._layers.base, *([self._layers.science] if spec.science else [])],
            memory_size=spec.memory_mb,
            timeout=Duration.seconds(spec.timeout_seconds),
            tracing=lambda_.Tracing.ACTIVE,
            role=role,
            log_group=log_group,
            dead_letter_queue=self.dead_letters if spec.name == "sweep" else None,
            environment={
                "POWERTOOLS_SERVICE_NAME": self._settings.deployment_id,
                "POWERTOOLS_METRICS_NAMESPACE": METRICS_NAMESPACE,
                "POWERTOOLS_LOG_LEVEL": "INFO",
                # NumPy would start a thread for each of the two visible processors, but 1,769 MB correspond to one.
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
            },
        )
        if self._settings.vpc_subnet_ids:
            self._attach_to_vpc(function, role)
        else:
            reason = "Calls only AWS, over TLS; the setting `vpc_subnet_ids` attaches it to a VPC"
            acknowledge_control(function, "LambdaInsideVPC", reason)
        self._acknowledge_findings(function, spec)
        return function

    def _acknowledge_findings(self, function: lambda_.Function, spec: FunctionSpec) -> None:
        reason = "Reserving concurrency takes it from other functions; the state machine limits invocations"
        acknowledge_control(function, "LambdaConcurrency", reason)
        reason = "A newer Python is deployed when the handlers' tests run under it: docs/decisions/0028"
        acknowledge(function, "AwsSolutions-L1", reason)
        acknowledge(function, "Serverless-LambdaLatestVersion", reason)
        if spec.name == "sweep":
            return
        reason = "The state machine waits for its response, and retries it"
        if spec.name == "start_run":
            reason = "The events are in a queue, which the next invocation reads"
        acknowledge(function, "Serverless-LambdaDLQ", reason)
        acknowledge_control(function, "LambdaDLQ", reason)

    def _attach_to_vpc(self, function: lambda_.Function, role: iam.Role) -> None:
        # CDK's own `vpc` would attach a managed policy, and needs the VPC's id and availability zones.
        resource = function.node.default_child
        assert isinstance(resource, lambda_.CfnFunction)  # noqa: S101 - for the type checker: a Function's child is one
        resource.vpc_config = lambda_.CfnFunction.VpcConfigProperty(
            subnet_ids=self._settings.vpc_subnet_ids, security_group_ids=self._settings.vpc_security_group_ids
        )
        allow(role, _NETWORK_INTERFACES, ["*"], because="Interfaces get their ids when Lambda creates them")

    def _role_of(self, function: lambda_.Function) -> iam.Role:
        role = function.role
        assert isinstance(role, iam.Role)  # noqa: S101 - for the type checker: _build gives each one
        return role
