"""infra/algorithm_images.json against the SageMaker SDK."""

import json

import pytest
from sagemaker import image_uris

from tools.algorithm_images import ALGORITHMS, TARGET, algorithm_images, as_text

IMAGES = json.loads(TARGET.read_text())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("region", sorted(IMAGES))
def test_a_uri_made_of_our_table_is_the_sdks(region: str, algorithm: str) -> None:
    entry = IMAGES[region]
    uri = f"{entry[algorithm]}.dkr.ecr.{region}.{entry['domain']}/{algorithm}:1"
    assert uri == image_uris.retrieve(algorithm, region)


def test_every_region_of_the_sdk_is_there() -> None:
    for algorithm in ALGORITHMS:
        registries = image_uris.config_for_framework(algorithm)["versions"]["1"]["registries"]
        assert sorted(registries) == sorted(IMAGES)


def test_the_file_is_what_the_generator_writes() -> None:
    assert TARGET.read_text() == as_text(algorithm_images())
