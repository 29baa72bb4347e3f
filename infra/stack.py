"""The stack of this repository's app: one deployment, and its outputs."""

from typing import Any

from aws_cdk import CfnOutput, DefaultStackSynthesizer, Environment, Stack
from constructs import Construct

from infra.segmentation import CensusSegmentation
from infra.settings import Settings


class SegmentationStack(Stack):
    """Contains one :class:`CensusSegmentation`; the stack's name is the id of the deployment.

    Attributes
    ----------
    segmentation
        The deployment.
    """

    def __init__(self, scope: Construct, *, settings: Settings, **options: Any) -> None:
        super().__init__(
            scope,
            settings.deployment_id,
            stack_name=settings.deployment_id,
            description="Census CSVs in, labeled counties out: SageMaker's PCA and k-means in a state machine",
            env=Environment(account=settings.account, region=settings.region),
            termination_protection=settings.is_protected,
            tags=settings.all_tags,
            **{"synthesizer": DefaultStackSynthesizer(qualifier=settings.bootstrap_qualifier), **options},
        )
        # "Default" does not appear in logical ids.
        self.segmentation = CensusSegmentation(self, "Default", settings=settings)
        self._build_outputs()

    def _build_outputs(self) -> None:
        deployed = self.segmentation
        outputs = {
            "IncomingBucket": (deployed.incoming.bucket_name, "Upload CSVs under incoming/"),
            "ResultsBucket": (deployed.results.bucket_name, "Results are under runs/; latest.json names the last run"),
            "StateMachineArn": (deployed.state_machine.state_machine_arn, "Every run is one execution"),
            "TopicArn": (deployed.topic.topic_arn, "Receives alarms, and refused, failed and finished runs"),
            "QueueUrl": (deployed.queue.queue_url, "CSVs that wait until their runs may start"),
            "GivenUpUrl": (deployed.given_up.queue_url, "CSVs whose runs could not be started"),
            "DeadLettersUrl": (deployed.dead_letters.queue_url, "Events that can start no run or were not delivered"),
            "StartRunFunction": (deployed.start_run.function_name, "Invoke it to run a file again"),
        }
        for name, (value, description) in outputs.items():
            CfnOutput(self, name, value=value, description=description)
