"""Accesses a stack that is deployed in an account, which may be an embedded AWS."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from contract import layout
from contract.run_settings import Mode
from local.account import Account
from local.errors import UserError
from local.program import PROGRAM

if TYPE_CHECKING:
    from embedded_aws.cloud.instance import Cloud

OUTPUTS: Final = "outputs.json"
"""Where the directory of an embedded AWS keeps the outputs of the stack."""

# Larger files are sent in parts: S3 accepts at most 5 GB per request, and the embedded AWS keeps a request in memory.
_LARGE_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Deployed:
    """The stack, deployed in an account."""

    account: Account
    incoming_bucket: str
    results_bucket: str
    state_machine_arn: str
    queue_url: str

    @classmethod
    def in_account(cls, account: Account, outputs: Mapping[str, str]) -> "Deployed":
        """Return the stack that has these CloudFormation outputs."""
        return cls(
            account,
            outputs["IncomingBucket"],
            outputs["ResultsBucket"],
            outputs["StateMachineArn"],
            outputs["QueueUrl"],
        )

    @property
    def deployment_id(self) -> str:
        """The prefix of the name of every SageMaker resource; the state machine has it as its name."""
        return self.state_machine_arn.rpartition(":")[2]

    def client(self, service: str) -> Any:
        """Return a boto3 client of a service; making one takes a tenth of a second."""
        return self.account.client(service)

    def execution_arn(self, run_id: str) -> str:
        """Return the ARN of a run's execution."""
        return f"{self.state_machine_arn.replace(':stateMachine:', ':execution:')}:{run_id}"

    def upload(self, csv: Path, mode: Mode = "train") -> str:
        """Upload a CSV to the incoming bucket, which starts a run, and return the id of the run.

        With the mode ``apply``, the run labels its rows by the model of the previous run.
        """
        key, s3 = layout.INCOMING_PREFIX + csv.name, self.client("s3")
        metadata = {"mode": mode} if mode != "train" else {}
        if csv.stat().st_size < _LARGE_BYTES:
            with csv.open("rb") as body:
                stored = s3.put_object(Bucket=self.incoming_bucket, Key=key, Body=body, Metadata=metadata)
        else:
            s3.upload_file(str(csv), self.incoming_bucket, key, ExtraArgs={"Metadata": metadata})
            stored = s3.head_object(Bucket=self.incoming_bucket, Key=key)
        return layout.run_id(self.incoming_bucket, key, stored.get("VersionId") or stored["ETag"].strip('"'))

    def runs(self) -> list[dict[str, Any]]:
        """Return the executions, the latest first."""
        pages = self.client("stepfunctions").get_paginator("list_executions")
        found = [run for page in pages.paginate(stateMachineArn=self.state_machine_arn) for run in page["executions"]]
        return sorted(found, key=lambda run: run["startDate"], reverse=True)

    def queued(self) -> int:
        """Return the number of CSVs that wait in the queue until their runs may start."""
        counted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client("sqs").get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=counted)["Attributes"]
        return sum(int(found[name]) for name in counted)

    def latest_run(self) -> str | None:
        """Return the id of the latest successful run, or ``None``."""
        s3 = self.client("s3")
        try:
            body = s3.get_object(Bucket=self.results_bucket, Key=layout.LATEST)["Body"].read()
        except s3.exceptions.NoSuchKey:
            return None
        return str(json.loads(body)["run_id"])

    def leftovers(self) -> list[str]:
        """List the endpoints, endpoint configs and models that exist, and the training jobs that still run."""
        return sagemaker_leftovers(self.account, self.deployment_id)


@dataclass(frozen=True)
class Stack(Deployed):
    """The stack, deployed in an embedded AWS."""

    cloud: "Cloud"

    @classmethod
    def of_outputs(cls, cloud: "Cloud", outputs: Mapping[str, str]) -> "Stack":
        """Return the stack that has these CloudFormation outputs."""
        return cls(**vars(Deployed.in_account(Account.embedded(cloud), outputs)), cloud=cloud)

    @classmethod
    def find(cls, directory: Path) -> "Stack | None":
        """Return the stack that `up` deployed, or ``None`` if its embedded AWS does not run.

        Raises
        ------
        UserError
            If the embedded AWS runs but does not respond.
        """
        from embedded_aws.cloud.instance import Cloud, CloudError  # noqa: PLC0415

        try:
            cloud = Cloud.find(directory)
        except CloudError as error:
            raise UserError(f"{error}; end it with: {PROGRAM} down") from error
        if cloud is None:
            return None
        try:
            return cls.of_outputs(cloud, json.loads((directory / OUTPUTS).read_text()))
        except (OSError, ValueError, KeyError):
            return None


def sagemaker_leftovers(account: Account, deployment_id: str) -> list[str]:
    """List a deployment's endpoints, endpoint configs and models, and its training jobs that still run."""
    sagemaker, named = account.client("sagemaker"), {"NameContains": f"{deployment_id}-"}
    leftovers = [
        f"{kind} {item[f'{name}Name']}"
        for kind, name, operation, listed in (
            ("endpoint", "Endpoint", "list_endpoints", "Endpoints"),
            ("endpoint config", "EndpointConfig", "list_endpoint_configs", "EndpointConfigs"),
            ("model", "Model", "list_models", "Models"),
        )
        for page in sagemaker.get_paginator(operation).paginate(**named)
        for item in page[listed]
    ]
    for status in ("InProgress", "Stopping"):
        for page in sagemaker.get_paginator("list_training_jobs").paginate(StatusEquals=status, **named):
            leftovers += [f"training job {job['TrainingJobName']}" for job in page["TrainingJobSummaries"]]
    return leftovers
