"""One request to an endpoint: a shard of recordIO in, labelled recordIO out."""

import numpy as np

from contract.layout import Shard
from jobs.sagemaker.recordio import decode_labels
from jobs.sagemaker.requests import RECORDIO
from lambdas.support.errors import named_error
from lambdas.support.runtime import client


def infer(endpoint: str, body: bytes, shard: Shard, *labels: str) -> list[np.ndarray]:
    """Send a shard to an endpoint and return one array per label, each with a row for every row of the shard.

    Raises
    ------
    IncompleteAnswer
        When the endpoint answered another number of rows than it was asked for.
    """
    answer = client("sagemaker-runtime").invoke_endpoint(
        EndpointName=endpoint, ContentType=RECORDIO, Accept=RECORDIO, Body=body
    )
    found = decode_labels(answer["Body"].read(), *labels)
    for label in labels:
        if len(found[label]) != shard.rows:
            raise named_error(
                "IncompleteAnswer",
                f"{endpoint} answered {len(found[label])} of {shard.part}'s {shard.rows} rows",
            )
    return [found[label] for label in labels]
