"""The control plane of endpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from embedded_aws.sagemaker.dependencies import Dependencies
from embedded_aws.sagemaker.endpoint_lives import EndpointLives
from embedded_aws.sagemaker.errors import validation
from embedded_aws.sagemaker.models import Models, container_of
from embedded_aws.sagemaker.request import Request
from embedded_aws.sagemaker.state import Endpoint, Resource, Variant, now, page
from embedded_aws.sagemaker.training import algorithm_of


class Endpoints:
    """Endpoints of all accounts."""

    def __init__(self, shared: Dependencies, models: Models, lives: EndpointLives) -> None:
        self._shared = shared
        self._state = shared.state
        self._spawn = shared.spawn
        self._models = models
        self._lives = lives
        self.operations: dict[str, Callable[[Request], dict[str, Any] | None]] = {
            "CreateEndpoint": self.create_endpoint,
            "DescribeEndpoint": self.describe_endpoint,
            "ListEndpoints": self.list_endpoints,
            "UpdateEndpoint": self.update_endpoint,
            "UpdateEndpointWeightsAndCapacities": self.update_weights,
            "DeleteEndpoint": self.delete_endpoint,
        }

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
        self._check_quota(name, config, endpoints)
        endpoint = Endpoint(
            name=name,
            arn=arn,
            scope=scope,
            request=params,
            tags=tags,
            status="Creating",
            config=config.name,
            variants=self._variants(config),
            instances=_instances(config),
        )
        endpoints[name] = endpoint
        self._spawn(self._lives.bring_up(endpoint, config, endpoint.variants))
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
        visible = self._shared.visible(self._state.region(request.scope).endpoints)
        found, token = page((each for each in visible if not self._is_unlisted(each)), request.params)
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
        """UpdateEndpoint. The old variants serve until the new variants do."""
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
        self._spawn(self._lives.replace(endpoint, config, variants))
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
        self._spawn(self._lives.reweigh(endpoint))
        return {"EndpointArn": endpoint.arn}

    def delete_endpoint(self, request: Request) -> None:
        """DeleteEndpoint."""
        endpoint = self._endpoint(request)
        _refuse_in_progress(endpoint)
        endpoint.status = "Deleting"
        endpoint.touch()
        self._spawn(self._lives.delete(endpoint))

    def _is_unlisted(self, endpoint: Endpoint) -> bool:
        """Return whether lists, which are eventually consistent, do not show a new endpoint yet."""
        fault = self._shared.faults.strike("Endpoint", endpoint.name, "unlisted")
        return fault is not None and now() - endpoint.created < float(fault.value)

    def _check_quota(self, name: str, config: Resource, endpoints: dict[str, Endpoint]) -> None:
        used = [instances for endpoint in endpoints.values() for instances in endpoint.instances]
        self._shared.check_quota("Endpoint", name, _instances(config), used)

    def _permitted_config(self, request: Request) -> Resource:
        """Return the configuration that a request names, if the caller has the permission on it too."""
        name = request.params["EndpointConfigName"]
        request.require(f"sagemaker:{request.operation}", request.scope.arn("endpoint-config", name))
        return self._models.config(request.scope, name)

    def _endpoint(self, request: Request) -> Endpoint:
        name, scope = request.params["EndpointName"], request.scope
        endpoints = self._state.region(scope).endpoints
        return self._shared.find(endpoints, name, f'Could not find endpoint "{scope.arn("endpoint", name)}".')

    def _variants(self, config: Resource) -> list[Variant]:
        variants = []
        for variant in config.request["ProductionVariants"]:
            model = self._models.model(config.scope, variant["ModelName"])
            image = container_of(model).get("Image", "")
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


def _instances(config: Resource) -> list[tuple[str, int]]:
    """Return the instance type and the number of instances of each variant."""
    variants = config.request["ProductionVariants"]
    return [(variant["InstanceType"], variant.get("InitialInstanceCount", 1)) for variant in variants]


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
