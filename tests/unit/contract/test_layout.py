"""Names: of runs, of their files, of their SageMaker resources."""

import re
from fnmatch import fnmatchcase
from itertools import product

import pytest

from contract.layout import ANY_RUN, ANY_SERIES, RunLayout, SeriesLayout, run_id
from contract.names import resource_name

SAGEMAKER_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")


def test_the_same_object_version_is_always_the_same_run() -> None:
    assert run_id("b", "incoming/census.csv", "v1") == run_id("b", "incoming/census.csv", "v1")


def test_another_bucket_key_version_or_rerun_is_another_run() -> None:
    keys = product(("b", "c"), ("incoming/x.csv", "incoming/y/x.csv"), ("1", "2"), (None, "r2"))
    names = [run_id(*key) for key in keys]
    assert len(set(names)) == len(names)


def test_where_bucket_ends_and_key_begins_matters() -> None:
    assert run_id("ab", "c", "v") != run_id("a", "bc", "v")


@pytest.mark.parametrize(
    "key",
    [
        "incoming/Census_Data_for_SageMaker.csv",
        "incoming/a b c (1).csv.gz",
        "incoming/Übersicht 2017 Zählung.csv",
        "incoming/----.csv",
        "incoming/" + "x" * 900 + ".csv",
        "incoming/.csv",
    ],
)
def test_every_key_gives_names_that_sagemaker_and_step_functions_take(key: str) -> None:
    run = run_id("bucket", key, "version", "rerun2")
    assert re.fullmatch(r"[a-z0-9-]{1,32}", run)
    name = resource_name("a-stack-of-20-letter", run, "kmeans", attempt=99)
    assert len(name) <= 63
    assert SAGEMAKER_NAME.fullmatch(name)


@pytest.mark.parametrize("suffix", ["", "R2", "a-b", "toolong"])
def test_a_rerun_suffix_that_would_break_a_name_is_refused_with_the_remedy(suffix: str) -> None:
    with pytest.raises(ValueError, match="expected 1 to 6 of a-z and 0-9"):
        run_id("b", "incoming/x.csv", "v", suffix)


def test_the_patterns_of_all_runs_and_series_cover_the_keys_of_each() -> None:
    assert fnmatchcase(RunLayout("r").manifest, ANY_RUN.manifest)
    assert fnmatchcase(SeriesLayout("counties").history, ANY_SERIES.history)
    assert fnmatchcase(SeriesLayout("counties").latest, ANY_SERIES.latest)


def test_a_runs_files_lie_below_its_own_prefix() -> None:
    files = RunLayout("r")
    keys = [getattr(files, name) for name, member in vars(RunLayout).items() if isinstance(member, property)]
    keys += [files.train_part("part-00000"), files.projected_part("part-00000"), files.labeled_part("part-00000")]
    assert all(key.startswith("runs/r/") for key in keys)
    assert len(set(keys)) == len(keys)
