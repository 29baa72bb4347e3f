"""The construct that contains a whole deployment: builds its parts and connects them."""

import json

from aws_cdk import Annotations, Stack, Tags, Token
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from contract.instance_types import Use, lack_of_types
from contract.names import Metric
from contract.run_settings import RunSettings
from infra.algorithm_images import AlgorithmImages
from infra.encryption import Encryption
from infra.functions import Functions
from infra.grants import Resources, grant_all
from infra.janitor import Janitor
from infra.monitoring import Monitoring, Notifications
from infra.sagemaker_role import SageMakerRole
from infra.settings import Settings, SettingsError
from infra.storage import Storage
from infra.trigger import Trigger
from infra.workflow import Workflow, state_machine_arn

_FEATURE_FLAGS = (
    "@aws-cdk/aws-events:eventsTargetQueueSameAccount",
    "@aws-cdk/aws-events:requireEventBusPolicySid",
    "@aws-cdk/aws-kms:aliasNameRef",
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy",
)
"""CDK's feature flags that this construct relies on, whatever the app's cdk.json sets."""


class CensusSegmentation(Construct):
    """Turns every census CSV in its incoming bucket into labeled counties.

    One stack can hold several, each with a ``settings.name`` of its own: all names and tags are derived from it.

    Attributes
    ----------
    incoming
        The bucket in which a CSV under ``incoming/`` starts a run.
    results
        The bucket that holds the results under ``runs/``, and ``latest.json``.
    topic
        Receives alarms, and a message about every run that was refused, has failed or has finished.
    state_machine
        Its executions are the runs.
    start_run
        The function that starts a run; invoke it to run a file again.
    object_created
        The rule that sends the event of a new object to the queue.
    queue
        Keeps the events of new objects, in order of arrival, until their runs may start.
    given_up
        Keeps the events whose runs could not be started in several attempts.
    dead_letters
        Keeps the events that can start no run, and those that were not delivered.
    metrics
        By name: ``RowsLabeled``, ``RowsDropped``, ``RunSeconds``, ``BillableTrainingSeconds``, ``EndpointSeconds``,
        ``FilesRefused``, ``LeaksFound`` and ``TeardownTimeouts``.
    alarms
        By name, such as ``run-failed``.

    Raises
    ------
    SettingsError
        If another deployment in the same stack has the same id, or the region has no images of the algorithms.

    Examples
    --------
    >>> segmentation = CensusSegmentation(stack, "Segmentation", settings=Settings(clusters=6))
    >>> segmentation.results.grant_read(analysts)
    """

    incoming: s3.IBucket
    results: s3.IBucket
    topic: sns.Topic
    state_machine: sfn.StateMachine
    start_run: lambda_.Function
    object_created: events.Rule
    queue: sqs.Queue
    given_up: sqs.Queue
    dead_letters: sqs.Queue
    metrics: dict[Metric, cloudwatch.Metric]
    alarms: dict[str, cloudwatch.Alarm]

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings | None = None) -> None:
        super().__init__(scope, construct_id)
        self.settings = settings = settings or Settings()
        self._check_id_is_free()
        for flag in _FEATURE_FLAGS:
            self.node.set_context(flag, True)
        self._warn_of_types_not_offered()
        for key, value in settings.all_tags.items():
            Tags.of(self).add(key, value)

        encryption = Encryption(self, "Encryption", settings=settings)
        storage = Storage(self, "Storage", settings=settings, encryption=encryption)
        notifications = Notifications(self, "Notifications", settings=settings, encryption=encryption)
        images = AlgorithmImages(self, "AlgorithmImages", region=self._region())
        sagemaker = SageMakerRole(
            self, "SageMaker", settings=settings, storage=storage, encryption=encryption, images=images
        )
        functions = Functions(self, "Functions", settings=settings, encryption=encryption)
        workflow = Workflow(
            self, "Workflow", settings=settings, encryption=encryption, storage=storage, functions=functions
        )
        trigger = Trigger(
            self, "Trigger", settings=settings, encryption=encryption, storage=storage, functions=functions
        )
        Janitor(self, "Janitor", settings=settings, functions=functions)
        monitoring = Monitoring(
            self,
            "Monitoring",
            settings=settings,
            topic=notifications.topic,
            functions=functions,
            workflow=workflow,
            trigger=trigger,
        )

        resources = Resources(self, settings, storage, encryption, notifications.topic, sagemaker.role, trigger.queue)
        grant_all(functions, workflow, resources)
        run_settings = self._run_settings(resources, images, functions)
        # Not CDK's own to_json_string, which omits what is None.
        functions.set_run_settings(json.dumps(run_settings.as_dict()))

        self.incoming, self.results, self.topic = storage.incoming, storage.results, notifications.topic
        self.state_machine, self.object_created = workflow.state_machine, trigger.rule
        self.start_run, self.dead_letters = functions["start_run"], functions.dead_letters
        self.queue, self.given_up = trigger.queue, trigger.given_up
        self.metrics, self.alarms = monitoring.metrics, monitoring.alarms

    def _check_id_is_free(self) -> None:
        for other in Stack.of(self).node.find_all():
            same_id = isinstance(other, CensusSegmentation) and other.settings.deployment_id == self._id
            if same_id and other is not self:
                raise SettingsError(
                    f"{other.node.path} and {self.node.path} are both deployments called {self._id!r}; give each"
                    " settings of its own with another name, as in Settings(name='census-two')"
                )

    def _warn_of_types_not_offered(self) -> None:
        region = self._region()
        wanted: dict[Use, list[str]] = {"training": self.settings.training_instance_types}
        if self.settings.hosts_models:
            wanted["hosting"] = self.settings.hosting_instance_types
        for use, types in wanted.items() if region else ():
            if sentence := lack_of_types(types, str(region), use):
                Annotations.of(self).add_warning_v2(
                    f"census-segmentation:{use}-types",
                    f"{use}_instance_types: {sentence}; see contract/instance_types.json",
                )

    @property
    def _id(self) -> str:
        return self.settings.deployment_id

    def _region(self) -> str | None:
        """Return the region if it is known on synth."""
        region = Stack.of(self).region
        return None if Token.is_unresolved(region) else region

    def _run_settings(self, resources: Resources, images: AlgorithmImages, functions: Functions) -> RunSettings:
        data_key = resources.encryption.data_key
        return RunSettings(
            **self.settings.run_parameters(),
            deployment_id=self._id,
            incoming_bucket=resources.storage.incoming.bucket_name,
            results_bucket=resources.storage.results.bucket_name,
            execution_role_arn=resources.execution_role.role_arn,
            images=images.uris,
            kms_key_arn=data_key.key_arn if data_key else None,
            topic_arn=resources.topic.topic_arn,
            queue_url=resources.queue.queue_url,
            dead_letters_url=functions.dead_letters.queue_url,
            state_machine_arn=state_machine_arn(self, self.settings),
            code_version=functions.code_version,
        )
