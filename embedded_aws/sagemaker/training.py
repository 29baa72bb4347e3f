"""The control plane of training jobs: the operations, and the phases of a job."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import os
import re
import time
from collections.abc import Callable
from typing import Any

from embedded_aws.faults.spec import Fault
from embedded_aws.sagemaker.containers import Container, ContainerDiedError
from embedded_aws.sagemaker.dependencies import Dependencies
from embedded_aws.sagemaker.errors import AwsError, validation
from embedded_aws.sagemaker.locations import split_uri
from embedded_aws.sagemaker.request import Request, refuse_key_for_local_storage
from embedded_aws.sagemaker.state import TrainingJob, now, page
from embedded_aws.sagemaker.tasks import TrainingTask

# The share of a job's duration in which its container runs, from the recorded run: 26 s of 191 s.
_RUNNING_SHARE = 26 / 191
_CONTAINER_SECONDS = 0.3  # the least time that a container is given in the embedded AWS
_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}
_CAPACITY_REASON = (
    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type."
)
_ENDED = ("Completed", "Failed", "Stopped")
_DESCRIBED = (
    "HyperParameters",
    "RoleArn",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "StoppingCondition",
    "CheckpointConfig",
    "Environment",
    "RetryStrategy",
    "ExperimentConfig",
    "DebugHookConfig",
    "ProfilerConfig",
    "TensorBoardOutputConfig",
)
_SWITCHES = ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining")


class TrainingJobs:
    """Training jobs of all accounts."""

    def __init__(self, shared: Dependencies) -> None:
        self._shared = shared
        self._platform = shared.platform
        self._state = shared.state
        self._faults = shared.faults
        self._containers = shared.containers
        self._pace = shared.pace
        self._connect = shared.connect
        self._spawn = shared.spawn
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._cores = asyncio.Semaphore(os.cpu_count() or 1)
        self.operations: dict[str, Callable[[Request], dict[str, Any] | None]] = {
            "CreateTrainingJob": self.create,
            "DescribeTrainingJob": self.describe,
            "ListTrainingJobs": self.list,
            "StopTrainingJob": self.stop,
        }

    def create(self, request: Request) -> dict[str, Any]:
        """CreateTrainingJob."""
        params, scope = request.params, request.scope
        name = params["TrainingJobName"]
        arn = scope.arn("training-job", name)
        jobs = self._state.region(scope).jobs
        if name in jobs:
            raise AwsError(
                "ResourceInUse",
                "Training job names must be unique within an AWS account and region, and a training job with this "
                f"name already exists ({arn})",
            )
        self._check_quota(name, params, jobs)
        tags = request.new_tags(arn)
        request.require_pass_role(params["RoleArn"])
        volume_key = params.get("ResourceConfig", {}).get("VolumeKmsKeyId")
        request.require_volume_key(volume_key, params["RoleArn"])
        request.require_vpc(params.get("VpcConfig"), params["RoleArn"])
        _check_specification(params)
        refuse_key_for_local_storage(volume_key, "VolumeKmsKeyId", [_instances(params)[0]])
        self._check_output_bucket(params)
        output = params["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        job = TrainingJob(
            name=name,
            arn=arn,
            scope=scope,
            request=params,
            tags=tags,
            status="InProgress",
            algorithm=algorithm_of(params["AlgorithmSpecification"]["TrainingImage"]),
            artifacts=f"{output}/{name}/output/model.tar.gz",
        )
        jobs[name] = job
        _enter(job, "Starting")
        self._lives[arn] = self._spawn(self._live(job))
        return {"TrainingJobArn": arn}

    def describe(self, request: Request) -> dict[str, Any]:
        """DescribeTrainingJob."""
        job = self._find(request)
        answer: dict[str, Any] = {
            "TrainingJobName": job.name,
            "TrainingJobArn": job.arn,
            "TrainingJobStatus": job.status,
            "SecondaryStatus": job.secondary,
            "AlgorithmSpecification": job.request["AlgorithmSpecification"]
            | {"MetricDefinitions": _metric_definitions(job.algorithm)},
            "CreationTime": job.created,
            "LastModifiedTime": job.modified,
            "SecondaryStatusTransitions": job.transitions,
            "ModelArtifacts": {"S3ModelArtifacts": job.artifacts},
        }
        answer |= {name: job.request[name] for name in _DESCRIBED if name in job.request}
        answer |= {name: job.request.get(name, False) for name in _SWITCHES}
        # Without a key, SageMaker returns an empty string, on which its SDK relies.
        answer["OutputDataConfig"] = {"KmsKeyId": ""} | job.request["OutputDataConfig"]
        if job.failure:
            answer["FailureReason"] = job.failure
        if job.started:
            answer["TrainingStartTime"] = job.started
        if job.ended:
            answer["TrainingEndTime"] = job.ended
        if job.started and job.ended:
            seconds = max(1, math.ceil(job.ended - job.started))
            count = job.request["ResourceConfig"].get("InstanceCount", 1)
            answer |= {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds * count}
        if job.metrics:
            answer["FinalMetricDataList"] = job.metrics
        return answer

    def list(self, request: Request) -> dict[str, Any]:
        """ListTrainingJobs."""
        jobs = self._shared.visible(self._state.region(request.scope).jobs)
        found, token = page(jobs, request.params, default_order="Ascending")
        summaries = []
        for job in found:
            summary = {
                "TrainingJobName": job.name,
                "TrainingJobArn": job.arn,
                "CreationTime": job.created,
                "LastModifiedTime": job.modified,
                "TrainingJobStatus": job.status,
                "SecondaryStatus": job.secondary,
            }
            summaries.append(summary | ({"TrainingEndTime": job.ended} if job.ended else {}))
        return {"TrainingJobSummaries": summaries} | ({"NextToken": token} if token else {})

    def stop(self, request: Request) -> None:
        """StopTrainingJob."""
        job = self._find(request)
        if job.status in _ENDED:
            raise validation(f"The request was rejected because the training job is in status {job.status}.")
        if job.status == "Stopping":
            return
        job.status = "Stopping"
        _enter(job, "Stopping")
        self._lives.pop(job.arn).cancel()
        self._spawn(self._come_to_rest(job))

    async def _come_to_rest(self, job: TrainingJob) -> None:
        await asyncio.sleep(self._pace.stopping)
        _end(job, "Stopped", "Stopped")

    def _find(self, request: Request) -> TrainingJob:
        jobs, name = self._state.region(request.scope).jobs, request.params["TrainingJobName"]
        return self._shared.find(jobs, name, "Requested resource not found.")

    def _check_output_bucket(self, params: dict[str, Any]) -> None:
        """Check that the execution role may list the output bucket, with a request that names no prefix.

        Which call SageMaker makes is unknown. HeadBucket needs ``s3:ListBucket`` too and has no prefix, so a statement
        with a condition on ``s3:prefix`` does not allow it.
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html
        """
        bucket = split_uri(params["OutputDataConfig"]["S3OutputPath"])[0]
        denial = self._platform.role_denial(params["RoleArn"], "s3:ListBucket", f"arn:aws:s3:::{bucket}")
        if denial:
            raise validation(f"Access denied to OutputDataConfig S3 bucket: {bucket}. {denial}")

    def _check_quota(self, name: str, params: dict[str, Any], jobs: dict[str, TrainingJob]) -> None:
        running = [_instances(job.request) for job in jobs.values() if job.status not in _ENDED]
        self._shared.check_quota("TrainingJob", name, [_instances(params)], running)

    async def _live(self, job: TrainingJob) -> None:
        """Take a job through its phases, from Starting to its end."""
        pace = self._pace.training(job.algorithm)
        if slow := self._faults.strike("TrainingJob", job.name, "slow"):
            pace += slow.seconds
        due = time.monotonic() + pace
        await asyncio.sleep(pace - min(pace, max(pace * _RUNNING_SHARE, _CONTAINER_SECONDS)))
        types = [job.request["ResourceConfig"].get("InstanceType", "")]
        if self._faults.strike("TrainingJob", job.name, "capacity", instance_types=types):
            _end(job, "Failed", "Failed", failure=_CAPACITY_REASON)
            return
        limit = job.request["StoppingCondition"].get("MaxRuntimeInSeconds", 86400) * self._pace.time_scale
        stuck = self._faults.strike("TrainingJob", job.name, "stuck")
        async with contextlib.AsyncExitStack() as core:
            if stuck is None:
                # Until a core of this machine is free, the job stays Starting, and its time limit has not begun.
                await core.enter_async_context(self._cores)
            try:
                await asyncio.wait_for(self._run(job, due, stuck, core), timeout=limit)
            except TimeoutError:
                _end(job, "Stopped", "MaxRuntimeExceeded")
            finally:
                self._lives.pop(job.arn, None)

    async def _run(self, job: TrainingJob, due: float, stuck: Fault | None, core: contextlib.AsyncExitStack) -> None:
        job.started = now()
        _enter(job, "Downloading")
        if stuck is not None:
            await self._faults.wait_until_lifted(stuck)
        if fault := self._faults.strike("TrainingJob", job.name, "failed"):
            _end(job, "Failed", "Failed", failure=fault.value or "AlgorithmError: injected by a fault, exit code: 1")
            return
        if not job.algorithm:
            image = job.request["AlgorithmSpecification"]["TrainingImage"]
            reason = f"ClientError: the embedded SageMaker trains only the built-in pca and kmeans, not {image}"
            _end(job, "Failed", "Failed", failure=reason)
            return
        outcome, detail = await self._train(job)
        await core.aclose()
        if outcome == "completed" and (denial := self._output_key_denial(job)):
            outcome, detail = "failed", f"ClientError: Artifact upload failed:AccessDenied (403): {denial}"
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if outcome == "completed":
            job.metrics = detail
            _end(job, "Completed", "Completed")
        else:
            _end(job, "Failed", "Failed", failure=detail)

    async def _train(self, job: TrainingJob) -> tuple[str, Any]:
        container: Container | None = None
        try:
            container = await self._containers.launch(self._task(job))
            while True:
                kind, detail = await container.receive()
                if kind != "phase":
                    return kind, detail
                if detail != job.secondary:
                    _enter(job, detail)
        except ContainerDiedError:
            return "failed", "InternalServerError: We encountered an internal error. Please try again."
        finally:
            if container is not None:
                container.kill()

    def _output_key_denial(self, job: TrainingJob) -> str:
        """Return why the execution role may not encrypt outputs; S3 itself requires ``kms:GenerateDataKey`` only."""
        key = self._platform.key_arn(job.request["OutputDataConfig"].get("KmsKeyId", ""))
        return self._platform.role_denial(job.request["RoleArn"], "kms:Encrypt", key) if key else ""

    def _task(self, job: TrainingJob) -> TrainingTask:
        return TrainingTask(
            job=job.name,
            algorithm=job.algorithm,
            request=job.request,
            artifact=job.artifacts,
            seed=int.from_bytes(hashlib.sha256(job.name.encode()).digest()[:4], "big"),
            connection=self._connect(job.request["RoleArn"], job.arn, job.scope),
        )


def algorithm_of(image: str) -> str:
    """Return `pca` or `kmeans` for the image of a built-in algorithm, else an empty string."""
    found = re.search(r"/(pca|kmeans)(:[\w.-]+|@sha256:[0-9a-f]+)?$", image)
    return found[1] if found else ""


def _check_specification(params: dict[str, Any]) -> None:
    if not params.get("AlgorithmSpecification", {}).get("TrainingImage"):
        raise validation("You must specify either an AlgorithmName or a TrainingImage in AlgorithmSpecification.")
    for member in ("ResourceConfig", "StoppingCondition"):
        if member not in params:
            raise validation(f"{member} is required for training jobs with a TrainingImage.")
    names = [channel["ChannelName"] for channel in params.get("InputDataConfig", [])]
    if len(set(names)) != len(names):
        raise validation("Channel names in InputDataConfig must be unique.")


def _instances(params: dict[str, Any]) -> tuple[str, int]:
    """Return the instance type and the number of instances of a CreateTrainingJob request."""
    resources = params.get("ResourceConfig", {})
    return resources.get("InstanceType", ""), resources.get("InstanceCount", 1)


def _metric_definitions(algorithm: str) -> list[dict[str, str]]:
    """Return the definitions that SageMaker adds for its built-in algorithms."""
    patterns = {
        "train:throughput": r"#throughput_metric: host=\S+, train throughput=(\S+) records/second",
        "train:progress": r"#progress_metric: host=\S+, completed (\S+) %",
    }
    qualities = [("train", "msd"), ("train", "ssd"), ("test", "msd"), ("test", "ssd")]
    for channel, name in qualities if algorithm == "kmeans" else [("test", "mse")]:
        patterns[f"{channel}:{name}"] = rf"#quality_metric: host=\S+, {channel} {name} <loss>=(\S+)"
    return [{"Name": name, "Regex": pattern} for name, pattern in patterns.items()]


def _enter(job: TrainingJob, secondary: str) -> None:
    entered = now()
    if job.transitions:
        job.transitions[-1].setdefault("EndTime", entered)
    job.transitions.append({"Status": secondary, "StartTime": entered, "StatusMessage": _MESSAGES[secondary]})
    job.secondary = secondary
    job.touch()


def _end(job: TrainingJob, status: str, secondary: str, *, failure: str = "") -> None:
    _enter(job, secondary)
    job.ended = job.transitions[-1]["EndTime"] = now()
    if failure:
        job.failure = job.transitions[-1]["StatusMessage"] = failure
    job.status = status
    job.touch()
