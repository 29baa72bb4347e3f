"""The states that tear one model down: they invoke the teardown function until nothing is pending."""

from typing import Literal

from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from contract.names import Stage
from infra.functions import Functions
from infra.settings import CLOSE_POLLS_SECONDS, WIDE_POLLS, Settings
from infra.tasks import function_task

TearDownName = Literal["Pca", "KMeans", "FailedPca", "FailedKMeans"]


class TearDown(Construct):
    """The loop of one teardown. The function raises ``TeardownTimedOut`` when the teardown takes too long.

    Attributes
    ----------
    start
        The first state, which notes when the teardown began.
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
                "failed": name.startswith("Failed"),
            },
            result={"pending": sfn.JsonPath.list_at("$.Payload.pending")},
            result_path="$.teardown.left",
        )
        # In JSONata, because only there can a Wait state compute its time.
        elapsed = "$toMillis($states.context.State.EnteredTime) - $toMillis($states.input.teardown.started)"
        close, wide = settings.poll_seconds, WIDE_POLLS * settings.poll_seconds
        wait = sfn.Wait.jsonata(
            self,
            f"WaitForTearDown{name}",
            time=sfn.WaitTime.seconds(f"{{% {elapsed} < {CLOSE_POLLS_SECONDS * 1_000} ? {close} : {wide} %}}"),
        )
        is_pending = sfn.Condition.is_present("$.teardown.left.pending[0]")
        choice = sfn.Choice(self, f"Is{name}TornDown").when(is_pending, wait.next(self.task))
        choice.otherwise(then or sfn.Succeed(self, f"{name}TornDown"))
        self.start.next(self.task).next(choice)
