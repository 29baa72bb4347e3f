"""Sends a shard to an endpoint and decodes the response."""

import numpy as np

from contract.payloads import Shard
from jobs.sagemaker.recordio import decode_labels
from jobs.sagemaker.requests import RECORDIO
from lambdas.support.errors import named_error
from lambdas.support.runtime import client


def infer(endpoint: str, body: bytes, shard: Shard, *labels: str) -> list[np.ndarray]:
    """Send a shard to an endpoint and return one array per label, each with a row for every row of the shard.

    Raises
    ------
    IncompleteAnswer
        If the response does not have one record per row of the shard.
    """
    response = client("sagemaker-runtime").invoke_endpoint(
        EndpointName=endpoint, ContentType=RECORDIO, Accept=RECORDIO, Body=body
    )
    found = decode_labels(response["Body"].read(), *labels)
    for label in labels:
        if len(found[label]) != shard["rows"]:
            raise named_error(
                "IncompleteAnswer",
                f"{endpoint} returned {len(found[label])} of the {shard['rows']} rows of {shard['part']}",
            )
    return [found[label] for label in labels]
