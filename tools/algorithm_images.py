"""Write infra/algorithm_images.json: the registry accounts of SageMaker's PCA and k-means images in each region.

The source is the SageMaker SDK, so run it in the conformance environment: ``python -m tools.algorithm_images``.
"""

import json
import re
from pathlib import Path

from sagemaker import image_uris

ALGORITHMS = ("pca", "kmeans")
TARGET = Path(__file__).parents[1] / "infra" / "algorithm_images.json"

_URI = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.(?P<domain>[a-z0-9.-]+)/[a-z]+:1")


def algorithm_images() -> dict[str, dict[str, str]]:
    """Return the images of every region that the SageMaker SDK knows.

    Returns
    -------
    dict
        For each region, the account of each algorithm's registry, and the ``domain`` of the registries.

    Raises
    ------
    ValueError
        If a URI is not ``<account>.dkr.ecr.<region>.<domain>/<algorithm>:1``, or the algorithms' domains differ.
    """
    regions = {
        region
        for algorithm in ALGORITHMS
        for version in image_uris.config_for_framework(algorithm)["versions"].values()
        for region in version["registries"]
    }
    return {region: _images_in(region) for region in sorted(regions)}


def _images_in(region: str) -> dict[str, str]:
    images: dict[str, str] = {}
    for algorithm in ALGORITHMS:
        uri = image_uris.retrieve(algorithm, region)
        match = _URI.fullmatch(uri)
        if match is None or match["region"] != region:
            raise ValueError(f"{algorithm} in {region} is {uri}; expected <account>.dkr.ecr.{region}.<domain>")
        images[algorithm] = match["account"]
        if images.setdefault("domain", match["domain"]) != match["domain"]:
            raise ValueError(f"{algorithm} in {region} is under {match['domain']}, others under {images['domain']}")
    return {"pca": images["pca"], "kmeans": images["kmeans"], "domain": images["domain"]}


def as_text(images: dict[str, dict[str, str]]) -> str:
    """Return the file's text: one region per line, so that a change to a region changes one line."""
    lines = (f"  {json.dumps(region)}: {json.dumps(entry)}" for region, entry in images.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    found = algorithm_images()
    TARGET.write_text(as_text(found))
    print(f"{TARGET.name}: {len(found)} regions")
