"""The wheel has one top-level package, whose modules import nothing under the names of this repository's folders."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools.release.wheel import IN_FUNCTIONS, PACKAGE, rewrite

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel, which is the same as the installed one except for its scripts."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def test_the_wheel_has_one_top_level_package(site: Path) -> None:
    assert {path.name.partition("-")[0] for path in site.iterdir()} == {PACKAGE}


def test_the_functions_files_travel_unchanged(site: Path) -> None:
    for room in IN_FUNCTIONS:
        files = [path for path in (ROOT / room).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        assert files
        for path in files:
            assert (site / PACKAGE / "functions" / path.relative_to(ROOT)).read_bytes() == path.read_bytes(), path
    assert (site / PACKAGE / "functions" / "jobs" / "vendor" / "vega.min.js").exists()


def test_every_module_of_the_wheel_can_be_imported_where_the_checkout_cannot(site: Path, tmp_path: Path) -> None:
    skipped = ("app", "functions", f"{PACKAGE}.__main__")
    modules = [
        ".".join(path.relative_to(site).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((site / PACKAGE).rglob("*.py"))
        if path.relative_to(site / PACKAGE).parts[0].removesuffix(".py") not in skipped and path.stem != "__main__"
    ]
    generic = "{'contract', 'infra', 'jobs', 'lambdas', 'embedded_aws', 'local'}"
    code = f"""
import importlib, sys
for name in {modules}:
    importlib.import_module(name)
assert not {generic} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_imports_and_names_of_modules_are_rewritten_and_nothing_else() -> None:
    source = (
        "from contract import layout\n"
        "from jobs.census.cells import parse\n"
        "from infra.settings import Settings\n"
        'command = ["-m", "embedded_aws.cloud.server", "jobs", "jobs.example", "local.run"]\n'
        "# from the stack of infra and local files\n"
    )
    assert rewrite(source, ROOT) == (
        "from census_segmentation.contract import layout\n"
        "from census_segmentation.jobs.census.cells import parse\n"
        "from census_segmentation.infra.settings import Settings\n"
        'command = ["-m", "census_segmentation.embedded_aws.cloud.server", "jobs", "jobs.example", "local.run"]\n'
        "# from the stack of infra and local files\n"
    )


def test_an_import_that_binds_the_name_of_a_folder_is_refused() -> None:
    with pytest.raises(ValueError, match=r"line 1: import infra\.settings; write from … import … instead"):
        rewrite("import infra.settings\n", ROOT)
