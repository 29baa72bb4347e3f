"""Builds the bodies of the SageMaker requests that a run makes.

Field names, limits and hyperparameters are those of the SageMaker API reference and of the pages about PCA and K-Means
in its developer guide. The tests validate every body with botocore's service model.
"""

from typing import Any

from contract.layout import RunLayout
from contract.names import EXECUTION_TAG, RUN_TAG, STACK_TAG, Stage, resource_name
from contract.run_settings import Clusters, RunSettings

RECORDIO = "application/x-recordio-protobuf"

_VARIANT = "AllTraffic"


def tags(deployment_id: str, run_id: str, execution_arn: str) -> list[dict[str, str]]:
    """Return the tags by which the janitor recognizes the resources of a run."""
    return [
        {"Key": STACK_TAG, "Value": deployment_id},
        {"Key": RUN_TAG, "Value": run_id},
        {"Key": EXECUTION_TAG, "Value": execution_arn},
    ]


def network(settings: RunSettings) -> dict[str, Any]:
    """Return what a training job's or a model's request says about the network of its containers.

    Among SageMaker's own containers, those of PCA and k-means are not listed as unable to run without a network:
    https://docs.aws.amazon.com/sagemaker/latest/dg/mkt-algo-model-internet-free.html
    """
    isolation = {"EnableNetworkIsolation": settings.network_isolation}
    if not settings.vpc_subnet_ids:
        return isolation
    vpc = {"Subnets": settings.vpc_subnet_ids, "SecurityGroupIds": settings.vpc_security_group_ids}
    return {**isolation, "VpcConfig": vpc}


def hyperparameters(
    settings: RunSettings, stage: Stage, *, rows: int, features: int, clusters: Clusters, instances: int
) -> dict[str, str]:
    """Return a stage's hyperparameters, as strings, which the API requires.

    Parameters
    ----------
    rows
        Number of training rows; a mini-batch of PCA cannot have more rows than one instance receives.
    features
        Number of values in a row.
    clusters
        k of the k-means stage. It is never ``auto`` there: the number that was chosen has replaced it.
    instances
        Number of instances that share the rows.
    """
    if stage == "pca":
        per_instance = max(1, rows // instances)
        return {
            "feature_dim": str(features),
            "num_components": str(settings.num_components or features - 1),
            "mini_batch_size": str(min(settings.pca_mini_batch_size, per_instance)),
        }
    return {
        "feature_dim": str(features),
        "k": str(clusters),
        # The default is one epoch. A census is small, so that further epochs take only milliseconds.
        "epochs": "10",
        "init_method": "kmeans++",
        "eval_metrics": '["msd"]',
        "force_dense": "True",
    }


def training_job(
    settings: RunSettings,
    stage: Stage,
    *,
    run_id: str,
    execution_arn: str,
    name: str,
    instance_type: str,
    rows: int,
    features: int,
    shards: int,
    clusters: Clusters,
) -> dict[str, Any]:
    """Return the body of CreateTrainingJob. No more instances are requested than there are shards to distribute."""
    files = RunLayout(run_id)
    instances = min(settings.training_instance_count, shards)
    output: dict[str, Any] = {"S3OutputPath": f"s3://{settings.results_bucket}/{files.model(stage).rstrip('/')}"}
    resources: dict[str, Any] = {
        "InstanceType": instance_type,
        "InstanceCount": instances,
        "VolumeSizeInGB": settings.training_volume_gb,
    }
    if settings.kms_key_arn:
        output["KmsKeyId"] = resources["VolumeKmsKeyId"] = settings.kms_key_arn
    prefix = files.train if stage == "pca" else files.projected
    return {
        **network(settings),
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": settings.images[stage], "TrainingInputMode": "File"},
        "RoleArn": settings.execution_role_arn,
        "HyperParameters": hyperparameters(
            settings, stage, rows=rows, features=features, clusters=clusters, instances=instances
        ),
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "ContentType": RECORDIO,
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": f"s3://{settings.results_bucket}/{prefix}",
                        "S3DataDistributionType": "ShardedByS3Key" if instances > 1 else "FullyReplicated",
                    }
                },
            }
        ],
        "OutputDataConfig": output,
        "ResourceConfig": resources,
        "StoppingCondition": {"MaxRuntimeInSeconds": settings.training_timeout_seconds},
        "EnableInterContainerTrafficEncryption": instances > 1,
        "Tags": tags(settings.deployment_id, run_id, execution_arn),
    }


def model(settings: RunSettings, stage: Stage, *, run_id: str, execution_arn: str, artifacts: str) -> dict[str, Any]:
    """Return the body of CreateModel; `artifacts` is the S3 URI of the model.tar.gz of a training job."""
    return {
        **network(settings),
        "ModelName": resource_name(settings.deployment_id, run_id, stage),
        "PrimaryContainer": {"Image": settings.images[stage], "ModelDataUrl": artifacts},
        "ExecutionRoleArn": settings.execution_role_arn,
        "Tags": tags(settings.deployment_id, run_id, execution_arn),
    }


def endpoint_config(
    settings: RunSettings, stage: Stage, *, run_id: str, execution_arn: str, name: str, instance_type: str
) -> dict[str, Any]:
    """Return the body of CreateEndpointConfig, with one variant that receives all traffic."""
    body: dict[str, Any] = {
        "EndpointConfigName": name,
        "ProductionVariants": [
            {
                "VariantName": _VARIANT,
                "ModelName": resource_name(settings.deployment_id, run_id, stage),
                "InitialInstanceCount": settings.hosting_instance_count,
                "InstanceType": instance_type,
                "InitialVariantWeight": 1.0,
            }
        ],
        "Tags": tags(settings.deployment_id, run_id, execution_arn),
    }
    if settings.kms_key_arn:
        body["KmsKeyId"] = settings.kms_key_arn
    return body


def endpoint(settings: RunSettings, *, run_id: str, execution_arn: str, name: str) -> dict[str, Any]:
    """Return the body of CreateEndpoint; the endpoint config has the same name as the endpoint."""
    return {
        "EndpointName": name,
        "EndpointConfigName": name,
        "Tags": tags(settings.deployment_id, run_id, execution_arn),
    }
