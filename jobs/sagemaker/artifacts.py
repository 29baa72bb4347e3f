"""Reads and writes the parameters of a built-in algorithm in SageMaker's model.tar.gz."""

import gzip
import io
import tarfile
from collections.abc import Sequence

import numpy as np

from jobs.sagemaker.ndarray import load, save

PARAMETERS_FILE = "model_algo-1"


class ArtifactError(ValueError):
    """The model.tar.gz does not contain what the algorithm writes."""


def pack(arrays: Sequence[np.ndarray]) -> bytes:
    """Return a model.tar.gz with unnamed arrays, as KMeans writes it: the same bytes for the same arrays."""
    content, archive = save(arrays), io.BytesIO()
    # Both headers would hold the time of writing.
    with (
        gzip.GzipFile(fileobj=archive, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as tar,
    ):
        member = tarfile.TarInfo(PARAMETERS_FILE)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def parameters(artifact: bytes) -> dict[str, np.ndarray] | list[np.ndarray]:
    """Read the arrays that PCA or KMeans stored in its artifact.

    Parameters
    ----------
    artifact
        The content of ``model.tar.gz``: a gzipped tar that contains ``model_algo-1``, an MXNet NDArray list file. That
        of KMeans also contains a file ``state_<uuid>``, which is not used.

    Raises
    ------
    ArtifactError
        If `artifact` is not a gzipped tar or does not contain ``model_algo-1``.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(artifact), mode="r:gz") as tar:
            for member in tar:
                content = tar.extractfile(member)
                if content is not None and member.name.removeprefix("./") == PARAMETERS_FILE:
                    return load(content.read())
    except (tarfile.TarError, EOFError, OSError) as broken:
        raise ArtifactError(f"model.tar.gz is not a gzipped tar: {broken}") from broken
    raise ArtifactError(f"model.tar.gz does not contain {PARAMETERS_FILE}")
