"""What people are told and can look at: a topic, alarms, a dashboard, a budget."""

from collections.abc import Sequence

from aws_cdk import Aws, Duration
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from contract.names import METRICS_NAMESPACE, STACK_TAG
from infra.encryption import Encryption
from infra.functions import Functions
from infra.policies import acknowledge
from infra.settings import Settings
from infra.workflow import Workflow

_PERIOD = Duration.minutes(5)


class Notifications(Construct):
    """The topic: alarms, refused files, failed and finished runs.

    Attributes
    ----------
    topic
        Encrypted, over TLS only.
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
            reason = "A mail that doesn't arrive helps nobody in a queue; what it tells is in the results bucket"
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
    """Alarms and the dashboard."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        topic: sns.Topic,
        functions: Functions,
        workflow: Workflow,
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
        self._dead_letters = functions.dead_letters.metric_approximate_number_of_messages_visible(
            period=_PERIOD, statistic="Maximum"
        )
        self._functions = functions
        self._alarms = self._build_alarms()
        self._build_dashboard()
        if settings.monthly_budget_usd is not None:
            self._build_budget(settings.monthly_budget_usd, topic)

    def _metric(self, name: str) -> cloudwatch.Metric:
        """Return one of our own metrics, which the functions write into their logs."""
        return cloudwatch.Metric(
            namespace=METRICS_NAMESPACE,
            metric_name=name,
            dimensions_map={"service": self._settings.deployment_id},
            period=_PERIOD,
            statistic="Sum",
        )

    def _build_alarms(self) -> list[cloudwatch.Alarm]:
        alarms = [
            self._alarm(f"run-{how.replace(' ', '-')}", metric, f"A run {how if how != 'failed' else 'has failed'}.")
            for how, metric in self._runs.items()
        ]
        late = self._settings.alarm_run_seconds
        return [
            *alarms,
            self._alarm("run-over-time", self._run_time, f"A run took over {late} s.", threshold=late * 1_000),
            self._alarm("file-refused", self._metric("FilesRefused"), "A CSV was refused; see its problems.json."),
            self._alarm("dead-letters", self._dead_letters, "An event couldn't be handled; see the queue."),
            self._alarm("leak-found", self._metric("LeaksFound"), "The janitor found what no running run owns."),
            self._alarm("teardown-timed-out", self._metric("TeardownTimeouts"), "A teardown didn't end in time."),
            *(
                self._alarm(
                    f"{name.replace('_', '-')}-fails",
                    self._functions[name].metric_errors(period=_PERIOD, statistic="Sum"),
                    f"lambdas/{name}.py failed; no run tells.",
                )
                for name in ("start_run", "sweep")
            ),
        ]

    def _alarm(
        self, name: str, metric: cloudwatch.IMetric, description: str, *, threshold: float = 0
    ) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            "".join(word.capitalize() for word in name.split("-")),
            alarm_name=f"{self._settings.deployment_id}-{name}",
            alarm_description=f"{description} What to do: docs/operations.md",
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
            # Dashboards are one list for all regions.
            dashboard_name=f"{self._settings.deployment_id}-{Aws.REGION}",
            widgets=[
                [cloudwatch.AlarmStatusWidget(alarms=self._alarms, title="Alarms", width=24)],
                [
                    self._graph("Runs", [self._succeeded, *self._runs.values()]),
                    self._graph("Run time (ms)", [self._run_time]),
                    self._graph("Rows", [self._metric("RowsLabeled"), self._metric("RowsDropped")]),
                ],
                [
                    self._graph(
                        "Seconds paid for", [self._metric("BillableTrainingSeconds"), self._metric("EndpointSeconds")]
                    ),
                    self._graph("Left behind", [self._metric("LeaksFound"), self._metric("TeardownTimeouts")]),
                    self._graph("Not run", [self._metric("FilesRefused"), self._dead_letters]),
                ],
            ],
        )

    def _graph(self, title: str, metrics: Sequence[cloudwatch.IMetric]) -> cloudwatch.GraphWidget:
        return cloudwatch.GraphWidget(title=title, left=list(metrics), width=8)

    def _build_budget(self, monthly_usd: float, topic: sns.Topic) -> None:
        tell = budgets.CfnBudget.SubscriberProperty(subscription_type="SNS", address=topic.topic_arn)
        budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_name=f"{self._settings.deployment_id}-{Aws.REGION}",
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=monthly_usd, unit="USD"),
                # Counts what carries the tag, once it is activated as a cost allocation tag.
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
                    subscribers=[tell],
                )
                for kind in ("ACTUAL", "FORECASTED")
            ],
        )
