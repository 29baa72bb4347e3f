"""The control plane of models and endpoint configurations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from embedded_aws.sagemaker.dependencies import Dependencies
from embedded_aws.sagemaker.errors import validation
from embedded_aws.sagemaker.request import Request, refuse_key_for_local_storage
from embedded_aws.sagemaker.state import Resource, Scope, page

_CONFIG_MEMBERS = ("DataCaptureConfig", "KmsKeyId", "AsyncInferenceConfig", "ExecutionRoleArn", "VpcConfig")
_MODEL_MEMBERS = ("PrimaryContainer", "Containers", "InferenceExecutionConfig", "ExecutionRoleArn", "VpcConfig")


class Models:
    """Models and endpoint configurations of all accounts."""

    def __init__(self, shared: Dependencies) -> None:
        self._shared = shared
        self._state = shared.state
        self.operations: dict[str, Callable[[Request], dict[str, Any] | None]] = {
            "CreateModel": self.create_model,
            "DescribeModel": self.describe_model,
            "ListModels": self.list_models,
            "DeleteModel": self.delete_model,
            "CreateEndpointConfig": self.create_config,
            "DescribeEndpointConfig": self.describe_config,
            "ListEndpointConfigs": self.list_configs,
            "DeleteEndpointConfig": self.delete_config,
        }

    def model(self, scope: Scope, name: str) -> Resource:
        """Return a model; see ``Dependencies.find``."""
        models = self._state.region(scope).models
        return self._shared.find(models, name, f'Could not find model "{scope.arn("model", name)}".')

    def config(self, scope: Scope, name: str) -> Resource:
        """Return an endpoint configuration; see ``Dependencies.find``."""
        configs, arn = self._state.region(scope).configs, scope.arn("endpoint-config", name)
        return self._shared.find(configs, name, f'Could not find endpoint configuration "{arn}".')

    def create_model(self, request: Request) -> dict[str, Any]:
        """CreateModel."""
        params, scope = request.params, request.scope
        name = params["ModelName"]
        arn = scope.arn("model", name)
        models = self._state.region(scope).models
        if name in models:
            raise validation(f'Cannot create already existing model "{arn}".')
        tags = request.new_tags(arn)
        if "PrimaryContainer" not in params and not params.get("Containers"):
            raise validation("You must specify either PrimaryContainer or Containers for a model.")
        if role := params.get("ExecutionRoleArn"):
            request.require_pass_role(role)
            request.require_vpc(params.get("VpcConfig"), role)
        models[name] = Resource(name, arn, scope, params, tags)
        return {"ModelArn": arn}

    def describe_model(self, request: Request) -> dict[str, Any]:
        """DescribeModel."""
        model = self.model(request.scope, request.params["ModelName"])
        return {
            "ModelName": model.name,
            "ModelArn": model.arn,
            "CreationTime": model.created,
            "EnableNetworkIsolation": model.request.get("EnableNetworkIsolation", False),
        } | _members(model, _MODEL_MEMBERS)

    def list_models(self, request: Request) -> dict[str, Any]:
        """ListModels."""
        return self._listing(self._state.region(request.scope).models, request, "Models", "Model")

    def delete_model(self, request: Request) -> None:
        """DeleteModel."""
        model = self.model(request.scope, request.params["ModelName"])
        del self._state.region(request.scope).models[model.name]

    def create_config(self, request: Request) -> dict[str, Any]:
        """CreateEndpointConfig."""
        params, scope = request.params, request.scope
        name = params["EndpointConfigName"]
        arn = scope.arn("endpoint-config", name)
        configs = self._state.region(scope).configs
        if name in configs:
            raise validation(f'Cannot create already existing endpoint configuration "{arn}".')
        tags = request.new_tags(arn)
        variants = [variant["VariantName"] for variant in params["ProductionVariants"]]
        if len(set(variants)) != len(variants):
            raise validation("Production variant names must be unique within an endpoint configuration.")
        for variant in params["ProductionVariants"]:
            if "ServerlessConfig" in variant or "InstanceType" not in variant:
                raise validation("The embedded SageMaker hosts on instances only: each variant needs an InstanceType.")
            self.model(scope, variant.get("ModelName", ""))
        types = [variant["InstanceType"] for variant in params["ProductionVariants"]]
        refuse_key_for_local_storage(params.get("KmsKeyId"), "KmsKeyId", types)
        configs[name] = Resource(name, arn, scope, params, tags)
        return {"EndpointConfigArn": arn}

    def describe_config(self, request: Request) -> dict[str, Any]:
        """DescribeEndpointConfig."""
        config = self.config(request.scope, request.params["EndpointConfigName"])
        return {
            "EndpointConfigName": config.name,
            "EndpointConfigArn": config.arn,
            "CreationTime": config.created,
            "ProductionVariants": [
                {"InitialInstanceCount": 1, "InitialVariantWeight": 1.0} | variant
                for variant in config.request["ProductionVariants"]
            ],
        } | _members(config, _CONFIG_MEMBERS)

    def list_configs(self, request: Request) -> dict[str, Any]:
        """ListEndpointConfigs."""
        configs = self._state.region(request.scope).configs
        return self._listing(configs, request, "EndpointConfigs", "EndpointConfig")

    def delete_config(self, request: Request) -> None:
        """DeleteEndpointConfig."""
        config = self.config(request.scope, request.params["EndpointConfigName"])
        del self._state.region(request.scope).configs[config.name]

    def _listing(self, resources: dict[str, Resource], request: Request, member: str, kind: str) -> dict[str, Any]:
        found, token = page(self._shared.visible(resources), request.params)
        summaries = [{f"{kind}Name": item.name, f"{kind}Arn": item.arn, "CreationTime": item.created} for item in found]
        return {member: summaries} | ({"NextToken": token} if token else {})


def container_of(model: Resource) -> dict[str, Any]:
    """Return the definition of a model's container."""
    definition: dict[str, Any] = model.request.get("PrimaryContainer") or model.request["Containers"][0]
    return definition


def _members(resource: Resource, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: resource.request[name] for name in names if name in resource.request}
