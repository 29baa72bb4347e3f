"""Monitoring of a deployment: its topic, alarms, dashboard and budget."""

from collections.abc import Sequence

from aws_cdk import Aws, Duration
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from contract.names import METRICS, METRICS_NAMESPACE, STACK_TAG
from infra.encryption import Encryption
from infra.functions import Functions
from infra.policies import acknowledge
from infra.settings import Settings
from infra.trigger import Trigger
from infra.workflow import Workflow

_PERIOD = Duration.minutes(5)


class Notifications(Construct):
    """The topic for alarms, and for refused, failed and finished runs.

    Attributes
    ----------
    topic
        Encrypted, and reachable over TLS only.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, encryption: Encryption) -> None:
        super().__init__(scope, construct_id)
        self.topic = sns.Topic(
            self,
            "Topic",
            topic_name=f"{settings.deployment_id}-notifications",
            master_key=encryption.topic_key,
            enforce_ssl=True,
        )
        if settings.alarm_email is not None:
            mail = self.topic.add_subscription(subscriptions.EmailSubscription(settings.alarm_email))
            reason = "Every message is about a file in the results bucket, so an undelivered mail loses nothing"
            acknowledge(mail, "Serverless-SNSRedrivePolicy", reason)
        services = ["cloudwatch.amazonaws.com"]
        if settings.monthly_budget_usd is not None:
            services.append("budgets.amazonaws.com")
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(service) for service in services],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            )
        )


class Monitoring(Construct):
    """Alarms, the dashboard and the budget.

    Attributes
    ----------
    metrics
        The metrics that handlers publish, by name.
    alarms
        By name.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        topic: sns.Topic,
        functions: Functions,
        workflow: Workflow,
        trigger: Trigger,
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        self._action = actions.SnsAction(topic)
        machine = workflow.state_machine
        self._runs = {
            "failed": machine.metric_failed(period=_PERIOD, statistic="Sum"),
            "aborted": machine.metric_aborted(period=_PERIOD, statistic="Sum"),
            "timed out": machine.metric_timed_out(period=_PERIOD, statistic="Sum"),
        }
        self._succeeded = machine.metric_succeeded(period=_PERIOD, statistic="Sum")
        self._run_time = machine.metric_time(period=_PERIOD, statistic="Maximum")
        self._dead_letters, self._given_up = (
            queue.metric_approximate_number_of_messages_visible(period=_PERIOD, statistic="Maximum")
            for queue in (functions.dead_letters, trigger.given_up)
        )
        self._oldest = trigger.queue.metric_approximate_age_of_oldest_message(period=_PERIOD, statistic="Maximum")
        self._functions = functions
        self.metrics = {name: self._metric(name) for name in METRICS}
        self.alarms = self._build_alarms()
        self._build_dashboard()
        if settings.monthly_budget_usd is not None:
            self._build_budget(settings.monthly_budget_usd, topic)

    def _metric(self, name: str, statistic: str = "Sum") -> cloudwatch.Metric:
        """Return one of the metrics that handlers write into their logs."""
        return cloudwatch.Metric(
            namespace=METRICS_NAMESPACE,
            metric_name=name,
            dimensions_map={"service": self._settings.deployment_id},
            period=_PERIOD,
            statistic=statistic,
        )

    def _build_alarms(self) -> dict[str, cloudwatch.Alarm]:
        watched: dict[str, tuple[cloudwatch.IMetric, str]] = {
            "run-failed": (self._runs["failed"], "A run failed."),
            "run-aborted": (self._runs["aborted"], "A run was aborted."),
            "run-timed-out": (self._runs["timed out"], "A run exceeded its time limit."),
            "file-refused": (self.metrics["FilesRefused"], "A CSV was refused; see its problems.json."),
            "dead-letters": (self._dead_letters, "An event could not be handled; see the queue."),
            "start-given-up": (self._given_up, "The run of a CSV could not be started; its event is in the queue."),
            "leak-found": (self.metrics["LeaksFound"], "The janitor found resources that no running run owns."),
            "teardown-timed-out": (self.metrics["TeardownTimeouts"], "A teardown exceeded its time limit."),
        }
        for name in ("start_run", "sweep"):
            errors = self._functions[name].metric_errors(period=_PERIOD, statistic="Sum")
            watched[f"{name.replace('_', '-')}-fails"] = (errors, f"lambdas/{name}.py failed, and no run reports it.")
        alarms = {name: self._alarm(name, metric, what) for name, (metric, what) in watched.items()}
        late = self._settings.alarm_run_seconds
        # Step Functions' own metric of the time that an execution takes includes its waits for room.
        longest = self._metric("RunSeconds", statistic="Maximum")
        over_time = self._alarm("run-over-time", longest, f"A run took over {late} s.", threshold=late)
        waits = "A CSV has waited for its run for a day. The queue keeps it for 14 days."
        kept = self._alarm("csv-waits", self._oldest, waits, threshold=Duration.days(1).to_seconds())
        return {**alarms, "run-over-time": over_time, "csv-waits": kept}

    def _alarm(
        self, name: str, metric: cloudwatch.IMetric, description: str, *, threshold: float = 0
    ) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            "".join(word.capitalize() for word in name.split("-")),
            alarm_name=f"{self._settings.deployment_id}-{name}",
            alarm_description=f"{description} How to respond: docs/operations.md",
            metric=metric,
            threshold=threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(self._action)
        return alarm

    def _build_dashboard(self) -> None:
        cloudwatch.Dashboard(
            self,
            "Dashboard",
            # The names of dashboards are shared by all regions.
            dashboard_name=f"{self._settings.deployment_id}-{Aws.REGION}",
            widgets=[
                [cloudwatch.AlarmStatusWidget(alarms=list(self.alarms.values()), title="Alarms", width=24)],
                [
                    self._graph("Runs", [self._succeeded, *self._runs.values()]),
                    self._graph("Run time (ms)", [self._run_time]),
                    self._graph("Rows", [self.metrics["RowsLabeled"], self.metrics["RowsDropped"]]),
                ],
                [
                    self._graph(
                        "Billed seconds", [self.metrics["BillableTrainingSeconds"], self.metrics["EndpointSeconds"]]
                    ),
                    self._graph("Left behind", [self.metrics["LeaksFound"], self.metrics["TeardownTimeouts"]]),
                    self._graph("Not run", [self.metrics["FilesRefused"], self._dead_letters, self._given_up]),
                ],
            ],
        )

    def _graph(self, title: str, metrics: Sequence[cloudwatch.IMetric]) -> cloudwatch.GraphWidget:
        return cloudwatch.GraphWidget(title=title, left=list(metrics), width=8)

    def _build_budget(self, monthly_usd: float, topic: sns.Topic) -> None:
        subscriber = budgets.CfnBudget.SubscriberProperty(subscription_type="SNS", address=topic.topic_arn)
        budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_name=f"{self._settings.deployment_id}-{Aws.REGION}",
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=monthly_usd, unit="USD"),
                # Counts resources with this tag, once it is activated as a cost allocation tag.
                cost_filters={"TagKeyValue": [f"user:{STACK_TAG}${self._settings.deployment_id}"]},
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        comparison_operator="GREATER_THAN",
                        notification_type=kind,
                        threshold=80,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[subscriber],
                )
                for kind in ("ACTUAL", "FORECASTED")
            ],
        )
