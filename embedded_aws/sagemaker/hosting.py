"""The control plane of models, endpoint configurations and endpoints, and an endpoint's life."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from embedded_aws.sagemaker.containers import Container, ContainerDiedError
from embedded_aws.sagemaker.dependencies import Dependencies
from embedded_aws.sagemaker.errors import validation
from embedded_aws.sagemaker.request import Request
from embedded_aws.sagemaker.state import Endpoint, Resource, Scope, Variant, now, page
from embedded_aws.sagemaker.tasks import HostingTask
from embedded_aws.sagemaker.training import algorithm_of

_CAPACITY_REASON = "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error."
_CONFIG_MEMBERS = ("DataCaptureConfig", "KmsKeyId", "AsyncInferenceConfig", "ExecutionRoleArn", "VpcConfig")
_MODEL_MEMBERS = ("PrimaryContainer", "Containers", "InferenceExecutionConfig", "ExecutionRoleArn", "VpcConfig")


class Hosting:
    """Models, endpoint configurations and endpoints of all accounts."""

    def __init__(self, shared: Dependencies) -> None:
        self._state = shared.state
        self._faults = shared.faults
        self._containers = shared.containers
        self._pace = shared.pace
        self._connect = shared.connect
        self._spawn = shared.spawn
        self._serving: dict[tuple[str, str], Container] = {}
        self.operations: dict[str, Callable[[Request], dict[str, Any] | None]] = {
            "CreateModel": self.create_model,
            "DescribeModel": self.describe_model,
            "ListModels": self.list_models,
            "DeleteModel": self.delete_model,
            "CreateEndpointConfig": self.create_config,
            "DescribeEndpointConfig": self.describe_config,
            "ListEndpointConfigs": self.list_configs,
            "DeleteEndpointConfig": self.delete_config,
            "CreateEndpoint": self.create_endpoint,
            "DescribeEndpoint": self.describe_endpoint,
            "ListEndpoints": self.list_endpoints,
            "UpdateEndpoint": self.update_endpoint,
            "UpdateEndpointWeightsAndCapacities": self.update_weights,
            "DeleteEndpoint": self.delete_endpoint,
        }

    def container(self, endpoint: Endpoint, variant: str) -> Container:
        """Return the running container of a variant."""
        return self._serving[endpoint.arn, variant]

    def drain(self) -> list[Container]:
        """Return all running containers and forget them."""
        containers = list(self._serving.values())
        self._serving.clear()
        return containers

    # Models

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
        models[name] = Resource(name, arn, scope, params, tags)
        return {"ModelArn": arn}

    def describe_model(self, request: Request) -> dict[str, Any]:
        """DescribeModel."""
        model = self._model(request.scope, request.params["ModelName"])
        return {
            "ModelName": model.name,
            "ModelArn": model.arn,
            "CreationTime": model.created,
            "EnableNetworkIsolation": model.request.get("EnableNetworkIsolation", False),
        } | _members(model, _MODEL_MEMBERS)

    def list_models(self, request: Request) -> dict[str, Any]:
        """ListModels."""
        return _listing(self._state.region(request.scope).models.values(), request, "Models", "Model")

    def delete_model(self, request: Request) -> None:
        """DeleteModel."""
        model = self._model(request.scope, request.params["ModelName"])
        del self._state.region(request.scope).models[model.name]

    # Endpoint configurations

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
            self._model(scope, variant.get("ModelName", ""))
        configs[name] = Resource(name, arn, scope, params, tags)
        return {"EndpointConfigArn": arn}

    def describe_config(self, request: Request) -> dict[str, Any]:
        """DescribeEndpointConfig."""
        config = self._config(request.scope, request.params["EndpointConfigName"])
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
        configs = self._state.region(request.scope).configs.values()
        return _listing(configs, request, "EndpointConfigs", "EndpointConfig")

    def delete_config(self, request: Request) -> None:
        """DeleteEndpointConfig."""
        config = self._config(request.scope, request.params["EndpointConfigName"])
        del self._state.region(request.scope).configs[config.name]

    # Endpoints

    def create_endpoint(self, request: Request) -> dict[str, Any]:
        """CreateEndpoint."""
        params, scope = request.params, request.scope
        name = params["EndpointName"]
        arn = scope.arn("endpoint", name)
        endpoints = self._state.region(scope).endpoints
        if name in endpoints:
            raise validation(f'Cannot create already existing endpoint "{arn}".')
        tags = request.new_tags(arn)
        config = self._permitted_config(request)
        request.require_volume_key(config.request.get("KmsKeyId"))
        endpoint = Endpoint(
            name=name,
            arn=arn,
            scope=scope,
            request=params,
            tags=tags,
            status="Creating",
            config=config.name,
            variants=self._variants(config),
        )
        endpoints[name] = endpoint
        self._spawn(self._bring_up(endpoint, config, endpoint.variants))
        return {"EndpointArn": arn}

    def describe_endpoint(self, request: Request) -> dict[str, Any]:
        """DescribeEndpoint."""
        endpoint = self._endpoint(request)
        answer: dict[str, Any] = {
            "EndpointName": endpoint.name,
            "EndpointArn": endpoint.arn,
            "EndpointConfigName": endpoint.config,
            "EndpointStatus": endpoint.status,
            "CreationTime": endpoint.created,
            "LastModifiedTime": endpoint.modified,
        }
        if endpoint.status in ("InService", "Updating"):
            answer["ProductionVariants"] = [_variant_summary(variant) for variant in endpoint.variants]
        if endpoint.failure:
            answer["FailureReason"] = endpoint.failure
        return answer

    def list_endpoints(self, request: Request) -> dict[str, Any]:
        """ListEndpoints."""
        found, token = page(self._state.region(request.scope).endpoints.values(), request.params)
        summaries = [
            {
                "EndpointName": endpoint.name,
                "EndpointArn": endpoint.arn,
                "CreationTime": endpoint.created,
                "LastModifiedTime": endpoint.modified,
                "EndpointStatus": endpoint.status,
            }
            for endpoint in found
        ]
        return {"Endpoints": summaries} | ({"NextToken": token} if token else {})

    def update_endpoint(self, request: Request) -> dict[str, Any]:
        """UpdateEndpoint: the old variants serve until the new ones do."""
        endpoint = self._endpoint(request)
        _refuse_in_progress(endpoint)
        config = self._permitted_config(request)
        variants = self._variants(config)
        if request.params.get("RetainAllVariantProperties"):
            present = {variant.name: variant for variant in endpoint.variants}
            for variant in variants:
                if kept := present.get(variant.name):
                    variant.weight, variant.desired_weight = kept.weight, kept.desired_weight
                    variant.count, variant.desired_count = kept.count, kept.desired_count
        endpoint.status = "Updating"
        endpoint.touch()
        self._spawn(self._replace(endpoint, config, variants))
        return {"EndpointArn": endpoint.arn}

    def update_weights(self, request: Request) -> dict[str, Any]:
        """UpdateEndpointWeightsAndCapacities."""
        endpoint = self._endpoint(request)
        _refuse_in_progress(endpoint)
        variants = {variant.name: variant for variant in endpoint.variants}
        desired = request.params["DesiredWeightsAndCapacities"]
        for change in desired:
            if change["VariantName"] not in variants:
                raise validation(f'Could not find variant "{change["VariantName"]}" of endpoint "{endpoint.arn}".')
        for change in desired:
            variant = variants[change["VariantName"]]
            variant.desired_weight = float(change.get("DesiredWeight", variant.weight))
            variant.desired_count = change.get("DesiredInstanceCount", variant.count)
        endpoint.status = "Updating"
        endpoint.touch()
        self._spawn(self._reweigh(endpoint))
        return {"EndpointArn": endpoint.arn}

    def delete_endpoint(self, request: Request) -> None:
        """DeleteEndpoint."""
        endpoint = self._endpoint(request)
        _refuse_in_progress(endpoint)
        endpoint.status = "Deleting"
        endpoint.touch()
        self._spawn(self._delete(endpoint))

    # An endpoint's life

    async def _bring_up(self, endpoint: Endpoint, config: Resource, variants: list[Variant]) -> None:
        failure = await self._start(endpoint, config, variants)
        endpoint.failure = failure
        endpoint.status = "Failed" if failure else "InService"
        endpoint.touch()

    async def _replace(self, endpoint: Endpoint, config: Resource, variants: list[Variant]) -> None:
        old = {variant.name: self._serving[endpoint.arn, variant.name] for variant in endpoint.variants}
        failure = await self._start(endpoint, config, variants, least=self._pace.updating)
        if failure:
            # As SageMaker rolls back: the old variants go on serving, and the endpoint tells why.
            for name, container in old.items():
                self._serving[endpoint.arn, name] = container
            endpoint.failure = failure
        else:
            for container in old.values():
                container.kill()
            for name in old.keys() - {variant.name for variant in variants}:
                del self._serving[endpoint.arn, name]
            endpoint.variants, endpoint.config, endpoint.failure = variants, config.name, ""
        endpoint.status = "InService"
        endpoint.touch()

    async def _reweigh(self, endpoint: Endpoint) -> None:
        await asyncio.sleep(self._pace.updating)
        for variant in endpoint.variants:
            variant.weight, variant.count = variant.desired_weight, variant.desired_count
        endpoint.status = "InService"
        endpoint.touch()

    async def _delete(self, endpoint: Endpoint) -> None:
        for variant in endpoint.variants:
            if container := self._serving.pop((endpoint.arn, variant.name), None):
                container.kill()
        if stuck := self._faults.strike("Endpoint", endpoint.name, "stuck_deleting"):
            await self._faults.wait_until_lifted(stuck)
        await asyncio.sleep(self._pace.deleting)
        self._state.region(endpoint.scope).endpoints.pop(endpoint.name, None)

    async def _start(
        self, endpoint: Endpoint, config: Resource, variants: list[Variant], least: float | None = None
    ) -> str:
        """Start the variants' containers at the pace; return why it failed, or nothing."""
        pace = max(self._pace.hosting(variant.algorithm) for variant in variants) if least is None else least
        if slow := self._faults.strike("Endpoint", endpoint.name, "slow"):
            pace += slow.seconds
        due = time.monotonic() + pace
        if stuck := self._faults.strike("Endpoint", endpoint.name, "stuck"):
            await self._faults.wait_until_lifted(stuck)
        failure = self._injected_failure(endpoint, config)
        if not failure:
            failure = next(filter(None, [await self._start_variant(endpoint, variant) for variant in variants]), "")
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        return failure

    def _injected_failure(self, endpoint: Endpoint, config: Resource) -> str:
        types = [variant["InstanceType"] for variant in config.request["ProductionVariants"]]
        if self._faults.strike("Endpoint", endpoint.name, "capacity", instance_types=types):
            return _CAPACITY_REASON
        if fault := self._faults.strike("Endpoint", endpoint.name, "failed"):
            return fault.value or "The primary container did not pass the ping health check."
        return ""

    async def _start_variant(self, endpoint: Endpoint, variant: Variant) -> str:
        model = self._state.region(endpoint.scope).models.get(variant.model)
        if model is None:
            return f'Could not find model "{endpoint.scope.arn("model", variant.model)}".'
        if not variant.algorithm:
            return f"The embedded SageMaker hosts only the built-in pca and kmeans, not {variant.image}."
        definition = _container_of(model)
        url = definition.get("ModelDataUrl", "")
        role = model.request.get("ExecutionRoleArn", "")
        connection = self._connect(role, endpoint.arn, endpoint.scope)
        task = HostingTask(endpoint.name, variant.name, variant.algorithm, url, connection)
        try:
            container = await self._containers.launch(task)
            outcome = await container.receive()
        except ContainerDiedError:
            return "Request to service failed. If failure persists after retry, contact customer support."
        if outcome[0] != "ready":
            container.kill()
            return _loading_failure(variant, url, *outcome[1:])
        variant.resolved = now()
        self._serving[endpoint.arn, variant.name] = container
        return ""

    # Finding things

    def _model(self, scope: Scope, name: str) -> Resource:
        model = self._state.region(scope).models.get(name)
        if model is None:
            raise validation(f'Could not find model "{scope.arn("model", name)}".')
        return model

    def _config(self, scope: Scope, name: str) -> Resource:
        config = self._state.region(scope).configs.get(name)
        if config is None:
            raise validation(f'Could not find endpoint configuration "{scope.arn("endpoint-config", name)}".')
        return config

    def _permitted_config(self, request: Request) -> Resource:
        """Return the configuration that a request names, if the caller has the permission on it too."""
        name = request.params["EndpointConfigName"]
        arn = request.scope.arn("endpoint-config", name)
        request.require(f"sagemaker:{request.operation}", arn)
        return self._config(request.scope, name)

    def _endpoint(self, request: Request) -> Endpoint:
        name = request.params["EndpointName"]
        endpoint = self._state.region(request.scope).endpoints.get(name)
        if endpoint is None:
            raise validation(f'Could not find endpoint "{request.scope.arn("endpoint", name)}".')
        return endpoint

    def _variants(self, config: Resource) -> list[Variant]:
        variants = []
        for variant in config.request["ProductionVariants"]:
            model = self._model(config.scope, variant["ModelName"])
            image = _container_of(model).get("Image", "")
            weight = float(variant.get("InitialVariantWeight", 1.0))
            count = variant.get("InitialInstanceCount", 1)
            variants.append(
                Variant(
                    name=variant["VariantName"],
                    model=model.name,
                    algorithm=algorithm_of(image),
                    image=image,
                    weight=weight,
                    desired_weight=weight,
                    count=count,
                    desired_count=count,
                )
            )
        return variants


def _container_of(model: Resource) -> dict[str, Any]:
    definition: dict[str, Any] = model.request.get("PrimaryContainer") or model.request["Containers"][0]
    return definition


def _loading_failure(variant: Variant, url: str, reason: str, from_s3: bool) -> str:
    if from_s3:
        return (
            f'Failed to download model data for container "container_1" from URL: "{url}". Please ensure that there is '
            "an object located at the URL and that the role passed to CreateModel has permissions to download the "
            f"object. {reason}"
        )
    return f"The primary container for production variant {variant.name} did not pass the ping health check. {reason}"


def _members(resource: Resource, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: resource.request[name] for name in names if name in resource.request}


def _listing(resources: Any, request: Request, member: str, kind: str) -> dict[str, Any]:
    found, token = page(resources, request.params)
    summaries = [{f"{kind}Name": item.name, f"{kind}Arn": item.arn, "CreationTime": item.created} for item in found]
    return {member: summaries} | ({"NextToken": token} if token else {})


def _variant_summary(variant: Variant) -> dict[str, Any]:
    return {
        "VariantName": variant.name,
        "DeployedImages": [
            {"SpecifiedImage": variant.image, "ResolvedImage": variant.image, "ResolutionTime": variant.resolved}
        ],
        "CurrentWeight": variant.weight,
        "DesiredWeight": variant.desired_weight,
        "CurrentInstanceCount": variant.count,
        "DesiredInstanceCount": variant.desired_count,
    }


def _refuse_in_progress(endpoint: Endpoint) -> None:
    if endpoint.status in ("Creating", "Updating", "Deleting", "RollingBack", "SystemUpdating"):
        raise validation(f'Cannot update in-progress endpoint "{endpoint.arn}".')
