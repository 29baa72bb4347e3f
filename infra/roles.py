"""Creates roles with the path, name and permissions boundary that an account may require."""

from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.policies import acknowledge_control
from infra.settings import Settings


def build_role(
    scope: Construct, construct_id: str, *, settings: Settings, name: str, assumed_by: iam.IPrincipal, description: str
) -> iam.Role:
    """Return a role that follows the account's rules.

    Parameters
    ----------
    name
        The role's name, which follows ``role_name_prefix``; without that setting, CloudFormation chooses the name.
    assumed_by
        Who may assume the role, such as ``iam.ServicePrincipal("lambda.amazonaws.com")``.
    """
    boundary = settings.permissions_boundary
    role = iam.Role(
        scope,
        construct_id,
        description=description,
        assumed_by=assumed_by,
        path=settings.role_path,
        role_name=f"{settings.role_name_prefix}{name}" if settings.role_name_prefix else None,
        permissions_boundary=(
            iam.ManagedPolicy.from_managed_policy_arn(scope, f"{construct_id}Boundary", boundary) if boundary else None
        ),
    )
    acknowledge_control(role, "IAMNoInlinePolicy", "The policy fits this role only, and is created and deleted with it")
    return role
