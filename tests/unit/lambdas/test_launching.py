"""Launching: once, on the first instance type that can be had, and again only after a redrive."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from contract.run_settings import RunSettings
from lambdas.support.launching import Attempt, launch, once_visible

BASE = "census-segmentation-run-pca"
Launch = Callable[..., Any]


class Jobs:
    """Training jobs in memory, in an account that refuses some instance types."""

    def __init__(self, *, refused: Iterable[str] = ()) -> None:
        self.instance_types = ["ml.c4.xlarge", "ml.m5.large"]
        self.refused = refused
        self.unsupported: list[str] = []
        self.full: dict[str, tuple[int, int]] = {}
        self.jobs: dict[str, Attempt] = {}

    def find(self, name: str) -> Attempt | None:
        return self.jobs.get(name)

    def create(self, name: str, instance_type: str) -> None:
        if instance_type in self.refused:
            error: Any = {"Error": {"Code": "ResourceLimitExceeded", "Message": f"the limit for {instance_type} is 0"}}
            raise ClientError(error, "CreateTrainingJob")
        if instance_type in self.unsupported:
            error = {"Error": {"Code": "ValidationException", "Message": f"Unsupported instance type: {instance_type}"}}
            raise ClientError(error, "CreateTrainingJob")
        if instance_type in self.full:
            limit, used = self.full[instance_type]
            quota = (
                f"is {limit} Instances, with current utilization of {used} Instances and a request delta of 1 Instances"
            )
            message = f"The account-level service limit '{instance_type} for training job usage' {quota}."
            raise ClientError({"Error": {"Code": "ResourceLimitExceeded", "Message": message}}, "CreateTrainingJob")
        self.jobs[name] = Attempt(instance_type, "InProgress", "")

    def end(self, name: str, status: str, reason: str = "") -> None:
        job = self.jobs[name]
        self.jobs[name] = Attempt(job.instance_type, status, reason)


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def launched(jobs: Jobs, settings: RunSettings) -> Launch:
    return lambda redrives=0: launch(jobs, settings, "pca", "run", redrives)


def test_launching_twice_launches_once(jobs: Jobs, launched: Launch) -> None:
    assert launched() == launched() == {"name": BASE, "instance_type": "ml.c4.xlarge"}
    assert list(jobs.jobs) == [BASE]


def test_a_finished_job_is_reused(jobs: Jobs, launched: Launch) -> None:
    launched()
    jobs.end(BASE, "Completed")
    assert launched()["name"] == BASE


def test_a_quota_of_zero_makes_the_next_instance_type_serve(jobs: Jobs, launched: Launch) -> None:
    jobs.refused = ["ml.c4.xlarge"]
    assert launched() == launched() == {"name": f"{BASE}-2", "instance_type": "ml.m5.large"}


def test_a_type_that_the_region_does_not_offer_makes_the_next_one_serve(jobs: Jobs, launched: Launch) -> None:
    jobs.unsupported = ["ml.c4.xlarge"]
    assert launched() == {"name": f"{BASE}-2", "instance_type": "ml.m5.large"}


def test_what_was_created_a_moment_ago_is_asked_for_until_it_is_found() -> None:
    attempts: list[str] = []

    def create_endpoint(name: str) -> str:
        attempts.append(name)
        if len(attempts) < 2:
            error: Any = {"Error": {"Code": "ValidationException", "Message": "Could not find endpoint configuration"}}
            raise ClientError(error, "CreateEndpoint")
        return "created"

    assert once_visible(create_endpoint, name=BASE) == "created"
    assert attempts == [BASE, BASE]


def test_only_a_resource_that_is_not_visible_yet_is_asked_for_again() -> None:
    attempts: list[str] = []

    def create_endpoint(name: str) -> None:
        attempts.append(name)
        raise ClientError({"Error": {"Code": "ValidationException", "Message": "no such type"}}, "CreateEndpoint")

    with pytest.raises(ClientError, match="no such type"):
        once_visible(create_endpoint, name=BASE)
    assert attempts == [BASE]


def test_a_quota_of_zero_everywhere_is_said_under_its_own_name(jobs: Jobs, launched: Launch) -> None:
    jobs.refused = jobs.instance_types
    with pytest.raises(Exception, match=r"ml\.m5\.large: the limit for ml\.m5\.large is 0") as refused:
        launched()
    assert type(refused.value).__name__ == "ResourceLimitExceeded"


@pytest.mark.parametrize(
    ("full", "refused", "name"),
    [
        ({"ml.c4.xlarge": (1, 1), "ml.m5.large": (0, 0)}, [], "QuotaFull"),
        ({"ml.c4.xlarge": (0, 0), "ml.m5.large": (2, 2)}, [], "QuotaFull"),
        ({"ml.c4.xlarge": (1, 1)}, ["ml.m5.large"], "QuotaFull"),
        ({"ml.c4.xlarge": (0, 0), "ml.m5.large": (0, 0)}, [], "ResourceLimitExceeded"),
    ],
)
def test_only_a_quota_that_is_in_use_is_worth_waiting_for(
    jobs: Jobs, launched: Launch, full: dict[str, tuple[int, int]], refused: list[str], name: str
) -> None:
    jobs.full, jobs.refused = full, refused
    with pytest.raises(Exception, match="limit") as error:
        launched()
    assert type(error.value).__name__ == name
    jobs.full = {}
    assert launched()["name"] == BASE


def test_a_lack_of_capacity_makes_the_next_instance_type_serve(jobs: Jobs, launched: Launch) -> None:
    launched()
    jobs.end(BASE, "Failed", "CapacityError: Unable to provision requested ML compute capacity")
    assert launched() == {"name": f"{BASE}-2", "instance_type": "ml.m5.large"}


def test_no_capacity_anywhere_is_said_once_all_types_were_tried(jobs: Jobs, launched: Launch) -> None:
    for name in (BASE, f"{BASE}-2"):
        launched()
        jobs.end(name, "Failed", "CapacityError")
    with pytest.raises(Exception, match=r"no capacity for any of ml\.c4\.xlarge, ml\.m5\.large") as refused:
        launched()
    assert type(refused.value).__name__ == "InsufficientCapacity"


def test_a_failed_job_is_not_tried_again_by_itself(jobs: Jobs, launched: Launch) -> None:
    launched()
    jobs.end(BASE, "Failed", "AlgorithmError: bad input")
    assert launched()["name"] == BASE
    assert list(jobs.jobs) == [BASE]


def test_a_redrive_launches_a_failed_job_again_under_a_new_name_once(jobs: Jobs, launched: Launch) -> None:
    launched()
    jobs.end(BASE, "Failed", "AlgorithmError: bad input")
    assert launched(redrives=1)["name"] == f"{BASE}-2"
    jobs.end(f"{BASE}-2", "Failed", "AlgorithmError: bad input")
    assert launched(redrives=1)["name"] == f"{BASE}-2"


def test_a_redrive_that_finds_no_capacity_either_ends(jobs: Jobs, launched: Launch) -> None:
    for number, redrives in enumerate((0, 0, 1, 1), 1):
        name = launched(redrives)["name"]
        assert name == (BASE if number == 1 else f"{BASE}-{number}")
        jobs.end(name, "Failed", "CapacityError")
    with pytest.raises(Exception, match="no capacity for any of"):
        launched(redrives=1)


def test_a_redrive_tries_all_instance_types_again(jobs: Jobs, launched: Launch) -> None:
    for name in (BASE, f"{BASE}-2"):
        launched()
        jobs.end(name, "Failed", "CapacityError")
    assert launched(redrives=1) == {"name": f"{BASE}-3", "instance_type": "ml.c4.xlarge"}
