"""The state machine: from a CSV's object version to labeled counties, with nothing left running on any path."""

from collections.abc import Sequence
from typing import Any

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from contract.layout import ANY_RUN
from contract.names import resource_pattern
from infra.encryption import Encryption
from infra.functions import Functions
from infra.logging import build_log_group
from infra.model_stage import Inference, ModelStage, sagemaker_arn
from infra.policies import allow
from infra.settings import Settings
from infra.storage import Storage
from infra.tasks import failing_task, function_task
from infra.teardown import TearDown

_path = sfn.JsonPath.string_at
_number = sfn.JsonPath.number_at
_object = sfn.JsonPath.object_at


PHASES = ("Prepare", "Pca", "KMeans", "TearDownKMeans", "Publish")
"""What a run goes through; a failed one is resumed at the phase that failed."""

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

# Why the machine's role is granted what a rehearsal doesn't use, with what AWS says of it.
_PAGES = "https://docs.aws.amazon.com/step-functions/latest/dg"
NOT_REHEARSED: dict[str, str] = {
    **dict.fromkeys(_LOG_DELIVERY, f"Step Functions delivers the machine's log as this role. {_PAGES}/cw-logs.html"),
    **dict.fromkeys(_TRACES, f"Step Functions sends traces as this role. {_PAGES}/concepts-xray-tracing.html"),
    **dict.fromkeys(
        _CONTROL_OF_MAPS,
        "Step Functions follows, stops and redrives a distributed map's executions as this role."
        f" {_PAGES}/iam-policies-eg-dist-map.html",
    ),
}

MAPS = ("Project", "Label")
"""The distributed maps, each with executions of its own."""


def state_machine_arn(scope: Construct, settings: Settings) -> str:
    """Return the machine's ARN by its name: what the machine itself invokes may know it without a cycle."""
    return Stack.of(scope).format_arn(
        service="states",
        resource="stateMachine",
        resource_name=settings.deployment_id,
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )


def execution_arns(scope: Construct, settings: Settings, *, of_map: str | None = None) -> str:
    """Return the ARNs of all the machine's executions, or of those that one of its distributed maps starts."""
    return Stack.of(scope).format_arn(
        service="states",
        resource="execution",
        resource_name=f"{settings.deployment_id}{f'/{of_map}' if of_map else ''}:*",
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )


class Workflow(Construct):
    """The state machine.

    Prepare -> Pca -> KMeans -> TearDownKMeans -> Publish are its phases. Whatever fails in one of them is noted,
    both models are torn down, and RecordFailure ends the execution with the first error; redriven, it goes on at the
    phase that failed.

    Attributes
    ----------
    state_machine
        Named like the stack.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        encryption: Encryption,
        storage: Storage,
        functions: Functions,
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        self._functions = functions
        self._storage = storage

        publish = self._build_publish()
        teardown = self._build_teardown(then=publish)
        kmeans = self._build_kmeans_phase()
        pca = self._build_pca_phase()
        prepare = self._build_prepare()
        definition = prepare.next(pca).next(kmeans).next(teardown.start)

        failure = self._build_failure_path(resume_at=[prepare, pca, kmeans, teardown.start, publish])
        catching: list[sfn.Parallel | sfn.TaskStateBase] = [prepare, pca, kmeans, teardown.task, publish]
        for phase, state in zip(PHASES, catching, strict=True):
            self._note_failure(phase, state, failure)

        self.state_machine = self._build_machine(definition, encryption)

    def _build_prepare(self) -> sfn.TaskStateBase:
        return function_task(
            self,
            "Prepare",
            self._functions["prepare"],
            {"run_id": _path("$.run_id"), "input": _object("$.input")},
            result={
                "rows": _number("$.Payload.rows"),
                "features": _number("$.Payload.features"),
                "shards_key": _path("$.Payload.shards_key"),
            },
            result_path="$.prepared",
        )

    def _build_pca_phase(self) -> sfn.Parallel:
        stage = ModelStage(
            self,
            "Pca",
            stage="pca",
            functions=self._functions,
            settings=self._settings,
            shards_bucket=self._storage.results,
            features_path="$.prepared.features",
            clusters_path=None,
            inference=Inference(state="Project", function="project", answer="components"),
        )
        # A Parallel of one branch, so that one Catch covers the whole phase.
        phase = sfn.Parallel(
            self,
            "PcaPhase",
            state_name="Pca",
            result_selector={**_kept_of_stage(0), "components": _number("$[0].inferred.components")},
            result_path="$.pca",
        )
        return phase.branch(stage.chain)

    def _build_kmeans_phase(self) -> sfn.Parallel:
        choose_clusters = function_task(
            self,
            "ChooseClusters",
            self._functions["choose_clusters"],
            {"run_id": _path("$.run_id")},
            result={"clusters": _number("$.Payload.clusters")},
            result_path="$.chosen",
        )
        is_chosen = self._settings.clusters == "auto"
        stage = ModelStage(
            self,
            "KMeans",
            stage="kmeans",
            functions=self._functions,
            settings=self._settings,
            shards_bucket=self._storage.results,
            features_path="$.pca.components",
            clusters_path="$.chosen.clusters" if is_chosen else None,
            inference=Inference(state="Label", function="label", answer="rows"),
        )
        phase = sfn.Parallel(
            self,
            "KMeansPhase",
            state_name="KMeans",
            result_selector=_kept_of_stage(0),
            result_path="$.kmeans",
        )
        if is_chosen:
            phase.branch(choose_clusters.next(stage.chain))
        else:
            # The elbow is for the report only: nothing waits for it.
            phase.branch(stage.chain, choose_clusters)
        teardown = TearDown(
            self, "TearDownPca", name="Pca", stage="pca", functions=self._functions, settings=self._settings
        )
        return phase.branch(teardown.start)

    def _build_teardown(self, *, then: sfn.IChainable) -> TearDown:
        return TearDown(
            self,
            "TearDownKMeans",
            name="KMeans",
            stage="kmeans",
            functions=self._functions,
            settings=self._settings,
            then=then,
        )

    def _build_publish(self) -> sfn.TaskStateBase:
        described = {
            f"{stage}_{what}": _object(f"$.{stage}.{kept}")
            for stage in ("pca", "kmeans")
            for what, kept in (("training", "training"), ("endpoint", "endpoint"), ("hosting_launch", "hosting"))
        }
        return function_task(
            self,
            "Publish",
            self._functions["publish"],
            {
                "run_id": _path("$.run_id"),
                "input": _object("$.input"),
                "execution": _object("$$.Execution"),
                **described,
            },
            result={"published": _object("$.Payload")},
            result_path="$",
        )

    def _build_failure_path(self, *, resume_at: Sequence[sfn.State]) -> sfn.State:
        record = failing_task(
            self,
            "RecordFailure",
            self._functions["record_failure"],
            {
                "run_id": _path("$.run_id"),
                "input": _object("$.input"),
                "failure": _object("$.failure"),
                "execution": _object("$$.Execution"),
            },
            # It answers only when the execution was redriven.
            result={"phase": _path("$.Payload.phase")},
            result_path="$.resume",
        )
        resume = sfn.Choice(self, "Resume")
        for phase, state in zip(PHASES, resume_at, strict=True):
            resume.when(sfn.Condition.string_equals("$.resume.phase", phase), state)
        record.next(resume)

        clean_up = sfn.Parallel(self, "CleanUp", result_path=sfn.JsonPath.DISCARD)
        for name, stage in (("FailedPca", "pca"), ("FailedKMeans", "kmeans")):
            teardown = TearDown(
                self,
                f"TearDown{name}",
                name=name,  # type: ignore[arg-type]
                stage=stage,  # type: ignore[arg-type]
                functions=self._functions,
                settings=self._settings,
            )
            clean_up.branch(teardown.start)
        clean_up.add_catch(record, result_path="$.failure.cleanup")
        clean_up.next(record)
        return clean_up

    def _note_failure(self, phase: str, catching: sfn.Parallel | sfn.TaskStateBase, then: sfn.IChainable) -> None:
        note = sfn.Pass(
            self,
            f"Note{phase}Failure",
            parameters={"phase": phase, "error": _object("$.error"), "execution": _object("$$.Execution")},
            result_path="$.failure",
        )
        catching.add_catch(note.next(then), result_path="$.error")

    def _build_machine(self, definition: sfn.IChainable, encryption: Encryption) -> sfn.StateMachine:
        role = self._build_role()
        machine = sfn.StateMachine(
            self,
            "StateMachine",
            state_machine_name=self._settings.deployment_id,
            definition_body=sfn.DefinitionBody.from_chainable(definition),
            comment="From a census CSV to labeled counties",
            timeout=Duration.seconds(self._settings.run_timeout_seconds),
            tracing_enabled=True,
            logs=sfn.LogOptions(
                destination=build_log_group(
                    self,
                    "Logs",
                    # Under this prefix Step Functions needn't grow a resource policy, whose size is limited.
                    name=f"/aws/vendedlogs/states/{self._settings.deployment_id}",
                    settings=self._settings,
                    encryption=encryption,
                ),
                level=sfn.LogLevel.ALL,
                include_execution_data=False,
            ),
            # All it may do is written below; CDK's own grants would be wider.
            role=role.without_policy_updates(),
        )
        machine.node.add_dependency(role)
        # CDK grants the maps' executions to any role it is given; _build_role does so itself.
        machine.node.try_remove_child("DistributedMapPolicy")
        return machine

    def _build_role(self) -> iam.Role:
        role = iam.Role(
            self,
            "Role",
            description=f"Taken by the state machine {self._settings.deployment_id}",
            assumed_by=iam.ServicePrincipal("states.amazonaws.com"),
        )
        invoked = ("prepare", "launch_training", "launch_endpoint", "project", "choose_clusters", "label", "publish")
        functions = [self._functions[name].function_arn for name in (*invoked, "teardown", "record_failure")]
        allow(role, ["lambda:InvokeFunction"], functions)

        named = "Every run names its own"
        jobs = sagemaker_arn("training-job", resource_pattern(self._settings.deployment_id))
        allow(role, ["sagemaker:DescribeTrainingJob"], [jobs], because=named)
        endpoints = sagemaker_arn("endpoint", resource_pattern(self._settings.deployment_id))
        allow(role, ["sagemaker:DescribeEndpoint"], [endpoints], because=named)

        shards = self._storage.results.arn_for_objects(ANY_RUN.shards)
        allow(role, ["s3:GetObject"], [shards], because=named)
        allow(role, ["states:StartExecution"], [state_machine_arn(self, self._settings)])
        children = [execution_arns(self, self._settings, of_map=name) for name in MAPS]
        because = "Step Functions names the executions of a distributed map"
        allow(role, _CONTROL_OF_MAPS, children, because=because)
        self._allow_logs_and_traces(role)
        return role

    def _allow_logs_and_traces(self, role: iam.Role) -> None:
        allow(role, _LOG_DELIVERY, ["*"], because="Log delivery's actions take no resource")
        allow(role, _TRACES, ["*"], because="X-Ray's actions take no resource")


def _kept_of_stage(branch: int) -> dict[str, Any]:
    """Keep a ModelStage's descriptions from a Parallel's results."""
    return {key: _object(f"$[{branch}].{key}") for key in ("training", "endpoint", "hosting")}
