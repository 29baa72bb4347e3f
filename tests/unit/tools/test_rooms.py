"""The rooms import in one direction, and what watches over that can fail."""

from tools.rooms import circle, module_imports, room_imports


def test_no_module_imports_itself_through_others() -> None:
    assert circle(module_imports()) == []


def test_a_circle_is_found() -> None:
    found = circle({"jobs.a": ["jobs.b"], "jobs.b": ["jobs.c"], "jobs.c": ["jobs.a"], "jobs.d": ["jobs.a"]})
    assert found[0] == found[-1]
    assert set(found) == {"jobs.a", "jobs.b", "jobs.c"}


def test_infra_imports_the_contract_only() -> None:
    assert room_imports(module_imports())["infra"] == {"contract"}


def test_rooms_are_packages_and_their_folders() -> None:
    imports = {"infra.stack": ["infra.storage", "contract.names"], "jobs.census.cells": ["jobs.sagemaker.recordio"]}
    assert room_imports(imports) == {"infra": {"contract"}, "jobs.census": {"jobs.sagemaker"}}
