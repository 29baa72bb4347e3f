"""The images of the built-in algorithms in each region."""

import json
from pathlib import Path

from aws_cdk import Aws, CfnMapping
from constructs import Construct

from infra.settings import SettingsError

_REGISTRIES = Path(__file__).with_name("algorithm_images.json")


class AlgorithmImages(Construct):
    """The images of the built-in PCA and k-means: a mapping of all regions, because the region may be unknown on synth.

    Attributes
    ----------
    uris
        The image URIs by algorithm, ``pca`` and ``kmeans``.
    repository_arns
        The ARNs of the two ECR repositories.
    """

    def __init__(self, scope: Construct, construct_id: str, *, region: str | None) -> None:
        super().__init__(scope, construct_id)
        registries = json.loads(_REGISTRIES.read_text())
        if region is not None and region not in registries:
            raise SettingsError(
                f"the region is {region!r}, for which infra/algorithm_images.json has no registry of SageMaker's PCA"
                f" and k-means; expected one of {', '.join(registries)}"
            )
        mapping = CfnMapping(self, "Registries", mapping=registries)
        domain = mapping.find_in_map(Aws.REGION, "domain")
        self.uris: dict[str, str] = {}
        self.repository_arns: list[str] = []
        for algorithm in ("pca", "kmeans"):
            account = mapping.find_in_map(Aws.REGION, algorithm)
            self.uris[algorithm] = f"{account}.dkr.ecr.{Aws.REGION}.{domain}/{algorithm}:1"
            self.repository_arns.append(f"arn:{Aws.PARTITION}:ecr:{Aws.REGION}:{account}:repository/{algorithm}")
