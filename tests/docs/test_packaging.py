"""What is shipped: two packages and nothing beside them, cheap to import."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import skhost
import sktuning

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_has_the_two_packages_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"skhost", "sktuning"}
    assert {"skhost/py.typed", "sktuning/py.typed"} <= set(names)


@pytest.mark.parametrize(("folder", "package"), [("service", "skhost"), ("adapters", "sktuning")])
def test_each_source_folder_holds_one_package(folder: str, package: str) -> None:
    # An editable install puts the folder itself on the path: all in it can be imported by name.
    importable = {
        path.name
        for path in (ROOT / folder).iterdir()
        if path.suffix == ".py" or (path.is_dir() and any(path.rglob("*.py")))
    }
    assert importable == {package}


@pytest.mark.parametrize("module", ["skhost", "skhost.settings", "skhost.cli", "skhost.client"])
def test_importing_the_light_parts_does_not_import_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit(bool({{'torch', 'transformers'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_library_exports_a_sorted_list_of_names_that_exist() -> None:
    names = sktuning.__all__
    assert names == sorted(names)
    assert all(hasattr(sktuning, name) for name in names)


def test_the_changelog_begins_with_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(.+?)\]", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == skhost.__version__


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {_normal(line.split("==")[0]) for line in constraints if "==" in line}
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {_normal(re.split(r"[^A-Za-z0-9._-]", requirement)[0]) for requirement in wanted}
    assert names - pins == set()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
