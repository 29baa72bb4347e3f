"""The states of one model: train it, host it unless functions apply it, and pass every shard through it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from aws_cdk import Aws
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from contract.names import Stage, resource_pattern
from infra.functions import Functions
from infra.settings import Settings
from infra.tasks import describe_task, function_task
from infra.waiting import Awaited, Polls, launch_and_wait

_path = sfn.JsonPath.string_at

TRAINED_ARTIFACTS = "$.training.ModelArtifacts.S3ModelArtifacts"
"""The path of the URI of a training job's artifact in a stage's state."""

# Durations from creation until ready, from the run recorded on 2019-03-08.
_USUAL_TRAINING_SECONDS: dict[Stage, int] = {"pca": 191, "kmeans": 191}
_USUAL_HOSTING_SECONDS: dict[Stage, int] = {"pca": 375, "kmeans": 440}


def sagemaker_arn(kind: str, name: str) -> str:
    """Return the ARN of SageMaker resources in this account and region."""
    return f"arn:{Aws.PARTITION}:sagemaker:{Aws.REGION}:{Aws.ACCOUNT_ID}:{kind}/{name}"


@dataclass(frozen=True)
class Inference:
    """How a stage passes the shards through its model.

    Attributes
    ----------
    state
        The map's name.
    function
        The function that processes one shard.
    answer
        The number that it returns for each shard.
    """

    state: str
    function: str
    answer: str


@dataclass(frozen=True)
class Companions:
    """The states that a stage has in addition to training, hosting and inference.

    Attributes
    ----------
    of_training
        Runs at the same time as the training job.
    after_training
        Runs after both.
    of_inference
        Runs before the map, at the same time as the endpoint is created, if there is one.
    artifacts_path
        The path of the URI of the artifact to host.
    """

    of_training: sfn.IChainable | None = None
    after_training: sfn.TaskStateBase | None = None
    of_inference: sfn.Chain | None = None
    artifacts_path: str = TRAINED_ARTIFACTS


_NO_COMPANIONS = Companions()


class ModelStage(Construct):
    """The states of one model, which are the same for PCA and k-means.

    Its input holds ``run_id`` and ``prepared``; its output adds ``training``, SageMaker's description of the job, and
    ``inferred``, the first shard's result. If the model is hosted, it also adds ``endpoint``, SageMaker's description,
    and ``hosting``, the result of the function that launched the endpoint.

    Attributes
    ----------
    chain
        The states from the launch of the training job to the map over the shards.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: Stage,
        functions: Functions,
        settings: Settings,
        shards_bucket: s3.IBucket,
        features_path: str,
        clusters_path: str | None,
        inference: Inference,
        companions: Companions = _NO_COMPANIONS,
    ) -> None:
        super().__init__(scope, construct_id)
        self._stage = stage
        self._functions = functions
        self._settings = settings
        self._artifacts_path = companions.artifacts_path
        infer = self._build_map(inference, shards_bucket)
        training_input = {
            "rows": sfn.JsonPath.number_at("$.prepared.rows"),
            "features": sfn.JsonPath.number_at(features_path),
            "shards": sfn.JsonPath.number_at("$.prepared.shards"),
        }
        if clusters_path is not None:
            training_input["clusters"] = sfn.JsonPath.number_at(clusters_path)
        own = companions.of_inference
        if settings.hosts_models:
            host = self._beside(own, "Host", self._build_hosting, then=infer)
        else:
            host = own.next(infer) if own else infer
        refined = companions.after_training.next(host) if companions.after_training else host
        train = partial(self._build_training, training_input)
        self.chain = sfn.Chain.start(self._beside(companions.of_training, "Train", train, then=refined))

    def _beside(
        self,
        companion: sfn.IChainable | None,
        name: str,
        build: Callable[[sfn.IChainable], sfn.Chain],
        *,
        then: sfn.IChainable,
    ) -> sfn.IChainable:
        """Return the states of `build`, in a Parallel with their companion if there is one."""
        if companion is None:
            return build(then)
        own = build(sfn.Succeed(self, f"{self.node.id}{name}ed"))
        # The output of the companion is dropped, because it writes its result to S3.
        parallel = sfn.Parallel(self, f"{name}{self.node.id}", output_path="$[0]")
        return parallel.branch(own, companion).next(then)

    def _build_training(self, training_input: Mapping[str, Any], then: sfn.IChainable) -> sfn.Chain:
        awaited = Awaited(
            name=f"{self.node.id}Training",
            error="TrainingJob",
            launch_path="$.launch",
            path="$.training",
            name_field="TrainingJobName",
            status_field="TrainingJobStatus",
            ready="Completed",
            working=("InProgress", "Stopping"),
            failed="Failed",
            limit_seconds=self._settings.training_timeout_seconds,
            room_seconds=self._settings.capacity_wait_seconds,
            polls=Polls(_USUAL_TRAINING_SECONDS[self._stage], self._settings.poll_seconds),
        )
        launch = self._build_launch("training", awaited, training_input)
        describe = describe_task(
            self,
            f"Describe{awaited.name}",
            "describeTrainingJob",
            {"TrainingJobName": _path("$.launch.name")},
            iam_resource=sagemaker_arn("training-job", resource_pattern(self._settings.deployment_id)),
            result_path=awaited.path,
        )
        return launch_and_wait(self, awaited, launch=launch, describe=describe, then=then)

    def _build_hosting(self, then: sfn.IChainable) -> sfn.Chain:
        awaited = Awaited(
            name=f"{self.node.id}Endpoint",
            error="Endpoint",
            launch_path="$.hosting",
            path="$.endpoint",
            name_field="EndpointName",
            status_field="EndpointStatus",
            ready="InService",
            working=("Creating", "Updating", "SystemUpdating", "RollingBack"),
            failed="Failed",
            limit_seconds=self._settings.endpoint_timeout_seconds,
            room_seconds=self._settings.capacity_wait_seconds,
            polls=Polls(_USUAL_HOSTING_SECONDS[self._stage], self._settings.poll_seconds),
        )
        trained = {"artifacts": _path(self._artifacts_path)}
        launch = self._build_launch("endpoint", awaited, trained)
        describe = describe_task(
            self,
            f"Describe{awaited.name}",
            "describeEndpoint",
            {"EndpointName": _path("$.hosting.name")},
            iam_resource=sagemaker_arn("endpoint", resource_pattern(self._settings.deployment_id)),
            result_path=awaited.path,
        )
        return launch_and_wait(self, awaited, launch=launch, describe=describe, then=then)

    def _build_launch(self, what: str, awaited: Awaited, payload: Mapping[str, Any]) -> Any:
        return function_task(
            self,
            f"Launch{awaited.name}",
            self._functions[f"launch_{what}"],
            {
                "stage": self._stage,
                "run_id": _path("$.run_id"),
                "execution": sfn.JsonPath.object_at("$$.Execution"),
                **payload,
            },
            result={
                "name": _path("$.Payload.name"),
                "instance_type": _path("$.Payload.instance_type"),
                "waited_seconds": 0,
                "next_wait_seconds": awaited.polls.first_seconds,
            },
            result_path=awaited.launch_path,
        )

    def _build_map(self, inference: Inference, bucket: s3.IBucket) -> sfn.DistributedMap:
        endpoint = {"endpoint": _path("$.endpoint.EndpointName")} if self._settings.hosts_models else {}
        return shard_map(
            self,
            inference,
            function=self._functions[inference.function],
            bucket=bucket,
            model={**endpoint, "artifacts": _path(self._artifacts_path)},
            concurrency=self._settings.inference_concurrency,
        )


def shard_map(
    scope: Construct,
    inference: Inference,
    *,
    function: lambda_.Function,
    bucket: s3.IBucket,
    model: Mapping[str, str],
    concurrency: int,
) -> sfn.DistributedMap:
    """Return a Distributed Map that passes every shard to a function.

    Parameters
    ----------
    model
        The fields of the function's event that say which model it applies, by their paths in the map's input.
    """
    answer = inference.answer
    each = sfn.DistributedMap(
        scope,
        inference.state,
        # The list of shards is read from a file, because it may be too large for a state's input.
        item_reader=sfn.S3JsonItemReader(bucket=bucket, key=_path("$.prepared.shards_key")),
        item_selector={
            "run_id": _path("$.run_id"),
            **model,
            "shard": sfn.JsonPath.object_at("$$.Map.Item.Value"),
        },
        label=inference.state,
        max_concurrency=concurrency,
        map_execution_type=sfn.StateMachineType.STANDARD,
        result_selector={answer: sfn.JsonPath.number_at(f"$[0].{answer}")},
        result_path="$.inferred",
    )
    shard = function_task(
        scope,
        f"{inference.state}Shard",
        function,
        {
            "run_id": _path("$.run_id"),
            **{key: _path(f"$.{key}") for key in model},
            "shard": sfn.JsonPath.object_at("$.shard"),
        },
        # One number per shard, because the results of all shards together must not exceed 256 KiB.
        result={answer: sfn.JsonPath.number_at(f"$.Payload.{answer}")},
        result_path="$",
        also_retry="model",
    )
    return each.item_processor(shard)
