"""The states that tear one model down, patiently: ask until nothing is pending."""

from typing import Literal

from aws_cdk import Duration
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from contract.names import Stage
from infra.functions import Functions
from infra.settings import Settings
from infra.tasks import function_task

TearDownName = Literal["Pca", "KMeans", "FailedPca", "FailedKMeans"]


class TearDown(Construct):
    """The loop of one teardown; the function itself raises ``TeardownTimedOut`` when it takes too long.

    Attributes
    ----------
    start
        The first state: notes when the teardown began.
    task
        The only state that can fail.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: TearDownName,
        stage: Stage,
        functions: Functions,
        settings: Settings,
        then: sfn.IChainable | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.start = sfn.Pass(
            self,
            f"StartTearDown{name}",
            parameters={"started": sfn.JsonPath.string_at("$$.State.EnteredTime")},
            result_path="$.teardown",
        )
        self.task: tasks.LambdaInvoke = function_task(
            self,
            f"TearDown{name}",
            functions["teardown"],
            {
                "run_id": sfn.JsonPath.string_at("$.run_id"),
                "stage": stage,
                "started": sfn.JsonPath.string_at("$.teardown.started"),
            },
            result={"pending": sfn.JsonPath.list_at("$.Payload.pending")},
            result_path="$.teardown.left",
        )
        wait = sfn.Wait(
            self,
            f"WaitForTearDown{name}",
            time=sfn.WaitTime.duration(Duration.seconds(settings.poll_seconds)),
        )
        is_pending = sfn.Condition.is_present("$.teardown.left.pending[0]")
        choice = sfn.Choice(self, f"Is{name}TornDown").when(is_pending, wait.next(self.task))
        choice.otherwise(then or sfn.Succeed(self, f"{name}TornDown"))
        self.start.next(self.task).next(choice)
