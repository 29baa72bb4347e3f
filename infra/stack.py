"""The stack: builds the parts, and wires them."""

import json
from typing import Any

from aws_cdk import CfnOutput, Environment, Stack, Tags
from constructs import Construct

from contract.names import STACK_TAG
from contract.run_settings import RunSettings
from infra.algorithm_images import AlgorithmImages
from infra.encryption import Encryption
from infra.functions import Functions
from infra.grants import Resources, grant_all
from infra.janitor import Janitor
from infra.monitoring import Monitoring, Notifications
from infra.sagemaker_role import SageMakerRole
from infra.settings import Settings
from infra.storage import Storage
from infra.trigger import Trigger
from infra.workflow import Workflow, state_machine_arn


class SegmentationStack(Stack):
    """Turns every census CSV that lands in a bucket into labeled counties."""

    def __init__(self, scope: Construct, *, settings: Settings, **options: Any) -> None:
        super().__init__(
            scope,
            settings.deployment_id,
            stack_name=settings.deployment_id,
            description="Census CSVs in, labeled counties out: SageMaker's PCA and k-means in a state machine",
            env=Environment(account=settings.account, region=settings.region),
            termination_protection=settings.is_protected,
            **options,
        )
        for key, value in {**settings.tags, STACK_TAG: settings.deployment_id}.items():
            Tags.of(self).add(key, value)

        encryption = Encryption(self, "Encryption", settings=settings)
        storage = Storage(self, "Storage", settings=settings, encryption=encryption)
        notifications = Notifications(self, "Notifications", settings=settings, encryption=encryption)
        images = AlgorithmImages(self, "AlgorithmImages", region=settings.region)
        sagemaker = SageMakerRole(self, "SageMaker", storage=storage, encryption=encryption, images=images)
        functions = Functions(self, "Functions", settings=settings, encryption=encryption)
        workflow = Workflow(
            self, "Workflow", settings=settings, encryption=encryption, storage=storage, functions=functions
        )
        Trigger(self, "Trigger", settings=settings, storage=storage, functions=functions)
        Janitor(self, "Janitor", settings=settings, functions=functions)
        Monitoring(
            self,
            "Monitoring",
            settings=settings,
            topic=notifications.topic,
            functions=functions,
            workflow=workflow,
        )

        resources = Resources(self, settings, storage, encryption, notifications.topic, sagemaker.role)
        grant_all(functions, resources)
        run_settings = self._run_settings(resources, images, functions.code_version)
        # Not CDK's own to_json_string: it leaves out what is None.
        functions.set_run_settings(json.dumps(run_settings.as_dict()))
        self._build_outputs(resources, functions)

    def _run_settings(self, resources: Resources, images: AlgorithmImages, code_version: str) -> RunSettings:
        settings, storage, data_key = resources.settings, resources.storage, resources.encryption.data_key
        return RunSettings(
            deployment_id=settings.deployment_id,
            incoming_bucket=storage.incoming.bucket_name,
            results_bucket=storage.results.bucket_name,
            execution_role_arn=resources.execution_role.role_arn,
            images=images.uris,
            training_instance_types=settings.training_instance_types,
            training_instance_count=settings.training_instance_count,
            training_volume_gb=settings.training_volume_gb,
            training_timeout_seconds=settings.training_timeout_seconds,
            hosting_instance_types=settings.hosting_instance_types,
            hosting_instance_count=settings.hosting_instance_count,
            num_components=settings.num_components,
            variance_to_keep=settings.variance_to_keep,
            clusters=settings.clusters,
            pca_mini_batch_size=settings.pca_mini_batch_size,
            teardown_timeout_seconds=settings.teardown_timeout_seconds,
            kms_key_arn=data_key.key_arn if data_key else None,
            topic_arn=resources.topic.topic_arn,
            state_machine_arn=state_machine_arn(self, settings),
            code_version=code_version,
        )

    def _build_outputs(self, resources: Resources, functions: Functions) -> None:
        outputs = {
            "IncomingBucket": (resources.storage.incoming.bucket_name, "Drop CSVs under incoming/"),
            "ResultsBucket": (resources.storage.results.bucket_name, "Results are under runs/; latest.json points on"),
            "StateMachineArn": (state_machine_arn(self, resources.settings), "Every run is one execution"),
            "TopicArn": (resources.topic.topic_arn, "Tells of alarms, refused files, failed and finished runs"),
            "DeadLettersUrl": (functions.dead_letters.queue_url, "Events that started no run"),
            "StartRunFunction": (functions["start_run"].function_name, "Invoke it to run a file again"),
        }
        for name, (value, description) in outputs.items():
            CfnOutput(self, name, value=value, description=description)
