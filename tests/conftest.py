"""Fixtures that are dear and may be shared: the synthesized stack."""

from pathlib import Path

import pytest

from local.deploy import synth


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The cloud assembly of the stack with ``cdk.json``'s settings, layers not built; one for all workers."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    return synth(shared / "assembly")
