"""Runs inside a training job's container: reads the channels, trains, and writes the artifact and logs."""

from __future__ import annotations

import io
import math
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from embedded_aws.sagemaker.algorithms import hyperparameters, kmeans, lloyd, pca
from embedded_aws.sagemaker.algorithms.failures import TrainingError, algorithm_error, client_error
from embedded_aws.sagemaker.channels import Channel
from embedded_aws.sagemaker.container_logs import ContainerLog, put_metrics
from embedded_aws.sagemaker.role_session import Bucket, S3Error
from embedded_aws.sagemaker.tasks import TRAINING_LOG_GROUP, TrainingTask
from jobs.sagemaker import ndarray

Report = Callable[..., None]
Rows = npt.NDArray[Any]


@dataclass
class _Outcome:
    arrays: Mapping[str, Rows] | list[Rows]
    rows: int
    quality: dict[str, float]


def run(job: TrainingTask, report: Report) -> None:
    """Execute a training job.

    Parameters
    ----------
    job
        The request, and the connection under the role.
    report
        Called with `("phase", name)` when a phase begins, then with `("completed", metrics)` or `("failed", reason)`.
    """
    log = ContainerLog(job.connection, TRAINING_LOG_GROUP, f"{job.job}/algo-1-{int(time.time())}")
    try:
        outcome, seconds = _train(job, log, report)
        report("phase", "Uploading")
        _upload(job, outcome.arrays)
        metrics = _metrics(outcome, seconds, log)
        log.raw("#metrics " + _summary(job.algorithm, seconds))
        log.flush()
        put_metrics(job.connection, f"{job.job}/algo-1", metrics)
    except TrainingError as failure:
        log.line(str(failure))
        log.flush()
        report("failed", str(failure))
        return
    report("completed", metrics)


def _train(job: TrainingTask, log: ContainerLog, report: Report) -> tuple[_Outcome, float]:
    report("phase", "Downloading")
    provided = job.request.get("HyperParameters", {})
    rules = hyperparameters.KMEANS if job.algorithm == "kmeans" else hyperparameters.PCA
    log.line(f"Reading provided configuration from /opt/ml/input/config/hyperparameters.json: {provided}")
    settings = hyperparameters.read(rules, provided)
    log.line(f"Final configuration: { {name: rule.default for name, rule in rules.items()} | provided }")
    hosts = job.request["ResourceConfig"].get("InstanceCount", 1)
    bucket = Bucket(job.connection)
    channels = {
        config["ChannelName"]: Channel(config, bucket, hosts) for config in job.request.get("InputDataConfig", [])
    }
    if "train" not in channels:
        raise client_error("Unable to initialize the algorithm. Missing required channel 'train'")
    report("phase", "Training")
    start = time.perf_counter()
    train = _train_kmeans if job.algorithm == "kmeans" else _train_pca
    outcome = train(settings, channels, job.seed, log)
    return outcome, max(time.perf_counter() - start, 1e-6)


def _train_pca(settings: dict[str, Any], channels: dict[str, Channel], seed: int, log: ContainerLog) -> _Outcome:
    features, components = settings["feature_dim"], settings["num_components"]
    if components > features:
        raise client_error(f"num_components ({components}) must be smaller than or equal to feature_dim ({features})")
    log.line(f"{features} feature(s) found in 'data'.")
    sketch = None
    if settings["algorithm_mode"] == "randomized":
        sketch = pca.sketch_matrix(features, components, settings["extra_components"], seed)
    total = _sum_over_hosts(channels["train"], features, sketch)
    result = total.solve(components, subtract_mean=settings["subtract_mean"])
    log.line("#progress_metric: host=algo-1, completed 100 % of epochs")
    quality = {}
    if "test" in channels:
        quality["test:mse"] = _reconstruction_error(result, channels["test"], features)
        log.line(f"#quality_metric: host=algo-1, test mse <loss>={quality['test:mse']!r}")
    else:
        log.line("Test data is not provided.")
    return _Outcome(result.arrays(), total.rows, quality)


def _sum_over_hosts(train: Channel, features: int, sketch: pca.Array | None) -> pca.PcaSums:
    """Sum over each host's shards, then merge the sums. The hosts run one after another, on SageMaker in parallel."""
    merged = pca.PcaSums(features, sketch)
    for host in range(train.hosts):
        sums = pca.PcaSums(features, sketch)
        for rows in _checked(train.of_host(host), features):
            sums.add(rows)
        merged.merge(sums)
    if not merged.rows:
        raise algorithm_error("The training data has no rows")
    return merged


def _reconstruction_error(result: pca.PcaResult, channel: Channel, features: int) -> float:
    squares = rows_seen = 0.0
    for rows in _checked(channel.rows(), features):
        centred = rows - result.mean.astype(np.float64)
        rest = centred - (centred @ result.v) @ result.v.T
        squares += float(np.einsum("ij,ij->", rest, rest))
        rows_seen += len(rows)
    return squares / rows_seen


def _train_kmeans(settings: dict[str, Any], channels: dict[str, Channel], seed: int, log: ContainerLog) -> _Outcome:
    features = settings["feature_dim"]
    trainer = kmeans.KMeansTrainer(settings, seed)
    for epoch in range(settings["epochs"]):
        for rows in _checked(channels["train"].rows(), features):
            trainer.add(rows)
        trainer.end_epoch()
        if trainer.rows < settings["k"]:
            raise algorithm_error(f"k ({settings['k']}) is larger than the number of training rows ({trainer.rows})")
        log.line(f"processed a total of {trainer.rows} examples")
        done = math.floor(100 * (epoch + 1) / settings["epochs"])
        log.line(f"#progress_metric: host=algo-1, completed {done} % of epochs")
    result = trainer.finish()
    log.line(f"shrinking {result.shrunk_from} centers into {settings['k']}")
    for number, distance in enumerate(result.attempts):
        log.line(f"local kmeans attempt #{number}. Current mean square distance {distance:.6f}")
    quality = _kmeans_quality(settings, result, trainer.rows, channels, features)
    for name, value in quality.items():
        channel, metric = name.split(":")
        log.line(f"#quality_metric: host=algo-1, {channel} {metric} <loss>={value!r}")
    return _Outcome([result.centers], trainer.rows * settings["epochs"], quality)


def _kmeans_quality(
    settings: dict[str, Any], result: kmeans.KMeansResult, rows: int, channels: dict[str, Channel], features: int
) -> dict[str, float]:
    scores = {"train": (result.train_msd, rows)}
    if "test" in channels:
        squares, seen = 0.0, 0
        for portion in _checked(channels["test"].rows(), features):
            squares += float((lloyd.assign(portion, result.centers)[1].astype(np.float64) ** 2).sum())
            seen += len(portion)
        scores["test"] = (squares / seen, seen)
    return {
        f"{channel}:{metric}": msd * count if metric == "ssd" else msd
        for channel, (msd, count) in scores.items()
        for metric in settings["eval_metrics"]
    }


def _checked(portions: Iterator[Rows], features: int) -> Iterator[Rows]:
    for rows in portions:
        if rows.shape[1] != features:
            raise client_error(
                f"The feature dimension parameter feature_dim = {features} does not match the dimension of the data, "
                f"which is {rows.shape[1]}"
            )
        if not np.isfinite(rows).all():
            raise algorithm_error("The training data contains NaN or infinite values")
        yield rows


def _metrics(outcome: _Outcome, seconds: float, log: ContainerLog) -> list[dict[str, Any]]:
    throughput = outcome.rows / seconds
    log.line(f"#throughput_metric: host=algo-1, train throughput={throughput!r} records/second")
    values = {"train:throughput": throughput, "train:progress": 100.0, **outcome.quality}
    now = round(time.time(), 3)
    return [{"MetricName": name, "Value": float(value), "Timestamp": now} for name, value in values.items()]


def _summary(algorithm: str, seconds: float) -> str:
    name = "AWS/KMeansWebscale" if algorithm == "kmeans" else "PCA"
    milliseconds = seconds * 1000
    return (
        f'{{"Metrics": {{"totaltime": {{"count": 1, "max": {milliseconds}, "sum": {milliseconds}, "min": '
        f'{milliseconds}}}}}, "Dimensions": {{"Host": "algo-1", "Operation": "training", "Algorithm": "{name}"}}}}'
    )


def _upload(job: TrainingTask, arrays: Mapping[str, Rows] | list[Rows]) -> None:
    files = {"model_algo-1": ndarray.save(arrays)}
    if job.algorithm == "kmeans":
        # SageMaker's artifact also contains the trainer's state, which nothing reads.
        files[f"state_{uuid.UUID(int=job.seed)}"] = b""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mtime = int(time.time())
            archive.addfile(member, io.BytesIO(content))
    kms_key = job.request["OutputDataConfig"].get("KmsKeyId")
    try:
        Bucket(job.connection).write(job.artifact, buffer.getvalue(), kms_key or None)
    except S3Error as error:
        raise TrainingError(f"ClientError: Artifact upload failed:{error}") from error
