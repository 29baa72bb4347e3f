"""What the unit tests share."""

import pytest

from contract.run_settings import RunSettings


@pytest.fixture
def settings() -> RunSettings:
    """Settings of a stack with two instance types to fall back on."""
    return RunSettings(
        deployment_id="census-segmentation",
        incoming_bucket="incoming-bucket",
        results_bucket="results-bucket",
        execution_role_arn="arn:aws:iam::123456789012:role/sagemaker",
        images={
            "pca": "382416733822.dkr.ecr.us-east-1.amazonaws.com/pca:1",
            "kmeans": "382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1",
        },
        training_instance_types=["ml.c4.xlarge", "ml.m5.large"],
        training_instance_count=1,
        max_concurrent_runs=2,
        training_volume_gb=10,
        training_timeout_seconds=1800,
        hosting_instance_types=["ml.t2.medium", "ml.m5.large"],
        hosting_instance_count=1,
        num_components=None,
        variance_to_keep=0.8,
        clusters=8,
        refine=True,
        refine_restarts=50,
        pca_mini_batch_size=500,
        teardown_timeout_seconds=1800,
        kms_key_arn=None,
        topic_arn="arn:aws:sns:us-east-1:123456789012:runs",
        queue_url="https://sqs.us-east-1.amazonaws.com/123456789012/census-segmentation-arrivals.fifo",
        dead_letters_url="https://sqs.us-east-1.amazonaws.com/123456789012/census-segmentation-dead-letters",
        state_machine_arn="arn:aws:states:us-east-1:123456789012:stateMachine:census-segmentation",
        code_version="1.0.0",
    )
