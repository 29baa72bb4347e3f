"""Gives access to the AWS account that a command works in: a real one, or the embedded AWS."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from local.errors import UserError
from local.program import PROGRAM

if TYPE_CHECKING:
    import boto3

    from embedded_aws.cloud.instance import Cloud


@dataclass(frozen=True)
class Account:
    """An account, and the credentials that a command uses in it.

    Attributes
    ----------
    session
        Has the credentials and the region.
    options
        Options of every client, by which clients reach the embedded AWS.
    variables
        Environment variables with which other programs use the account.
    """

    session: "boto3.Session"
    options: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    _clients: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of_profile(cls, profile: str | None, region: str | None) -> "Account":
        """Return the account of a profile, or of the default credentials.

        Raises
        ------
        UserError
            If the profile does not exist, or no region is given or configured.
        """
        import boto3  # noqa: PLC0415 - slow to import
        from botocore.exceptions import ProfileNotFound  # noqa: PLC0415

        try:
            session = boto3.Session(profile_name=profile, region_name=region)
        except ProfileNotFound as error:
            raise UserError(f"{error}; list the profiles with: aws configure list-profiles") from error
        if session.region_name is None:
            raise UserError("no region is set; give one with --region, or set AWS_REGION")
        variables = {"AWS_REGION": session.region_name}
        if profile:
            variables["AWS_PROFILE"] = profile
        return cls(session, variables=variables)

    @classmethod
    def embedded(cls, cloud: "Cloud") -> "Account":
        """Return the account of an embedded AWS, with the administrator's credentials."""
        options = {"endpoint_url": cloud.endpoint_url, "verify": str(cloud.ca_bundle)}
        return cls(cloud.session, options, cloud.environment())

    @property
    def region(self) -> str:
        """The region that the clients use."""
        return str(self.session.region_name)

    @cached_property
    def identity(self) -> Mapping[str, str]:
        """The account's number as ``Account`` and the caller's ARN as ``Arn``."""
        found: Mapping[str, str] = self.client("sts").get_caller_identity()
        return found

    @property
    def partition(self) -> str:
        """The partition of AWS, such as ``aws-cn``."""
        return self.identity["Arn"].split(":")[1]

    def stack(self, name: str) -> Mapping[str, Any] | None:
        """Return a stack as CloudFormation describes it, or ``None`` if it does not exist."""
        cloudformation = self.client("cloudformation")
        try:
            (found,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        except cloudformation.exceptions.ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return None if found["StackStatus"] == "DELETE_COMPLETE" else dict(found)

    @staticmethod
    def outputs(stack: Mapping[str, Any]) -> dict[str, str]:
        """Return the outputs of a stack that :meth:`stack` described."""
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def resource(self, service: str) -> Any:
        """Return boto3's resource of a service, which has loops over pages and batches that a client does not have."""
        return self.session.resource(service, **self.options)  # type: ignore[call-overload]

    def client(self, service: str) -> Any:
        """Return a client of a service."""
        if service not in self._clients:
            self._clients[service] = self.session.client(service, **self.options)  # type: ignore[call-overload]
        return self._clients[service]


@contextmanager
def reporting_failed_requests() -> Iterator[None]:
    """Report a request to AWS that fails during a block.

    Raises
    ------
    UserError
        If a request fails.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow to import

    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise UserError(f"a request to AWS failed: {error}; check the account with: {PROGRAM} preflight") from error
