"""The documentation says what is there: looked up in the code, not kept in step by hand."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

import skhost.errors
from skhost.app import create_app
from skhost.cli.app import build
from skhost.errors import ServiceError
from skhost.metrics import Metrics
from skhost.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
NOT_OURS = {"__pycache__", "node_modules", "dist", "htmlcov", "skhost-data"}
DEEP = {"adapters", "service"}  # the README names their packages' folders, too


def test_the_generated_pages_are_up_to_date() -> None:
    check = subprocess.run(
        [sys.executable, str(DOCS / "generate.py"), "--check"],
        env={k: v for k, v in os.environ.items() if not k.startswith(PREFIX)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (check.returncode, check.stdout) == (0, ""), check.stderr


def test_every_setting_is_explained() -> None:
    page = _read(DOCS / "configuration.md")
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no description"
        assert f"`{PREFIX}{name.upper()}`" in page


def test_every_error_code_is_explained() -> None:
    page = _read(DOCS / "errors.md")
    kinds = [kind for kind in vars(skhost.errors).values() if isinstance(kind, type)]
    codes = {kind.code for kind in kinds if issubclass(kind, ServiceError)}
    assert "adapter_not_found" in codes
    assert [code for code in codes if f"| `{code}` |" not in page] == []


def test_every_route_is_explained(app_routes: list[tuple[str, str]]) -> None:
    page = _read(DOCS / "http.md")
    assert [f"{m} {p}" for m, p in app_routes if f"`{m} {p}`" not in page] == []


def test_every_metric_is_explained() -> None:
    page = _read(DOCS / "metrics.md")
    registry = CollectorRegistry()
    Metrics(registry)
    names = [family.name for family in registry.collect()]
    assert names
    assert [name for name in names if f"`{name}" not in page] == []


def test_every_command_is_explained() -> None:
    page, readme = _read(DOCS / "cli.md"), _read(ROOT / "README.md")
    for path in _commands(build(), ()):
        assert f"## `skhost {' '.join(path)}`" in page
        assert f"`{path[-1]}`" in readme or f"skhost {' '.join(path)}" in readme


def test_the_commands_of_the_readme_exist() -> None:
    commands = {" ".join(path) for path in _commands(build(), ())}
    named = re.findall(r"\bskhost ((?:[a-z]+ )?[a-z]+)\b", _shell(_read(ROOT / "README.md")))
    assert named
    assert [name for name in named if not {name, name.split()[0]} & commands] == []


def test_the_requests_of_the_readme_exist(app_routes: list[tuple[str, str]]) -> None:
    templates = [re.sub(r"\{\w+\}", "[^/]+", path) for _, path in app_routes]
    paths = re.findall(r"http://127\.0\.0\.1:8080(/[\w/@-]*)", _shell(_read(ROOT / "README.md")))
    assert paths
    assert [p for p in paths if not any(re.fullmatch(t, p) for t in templates)] == []


def test_the_tree_of_the_readme_is_the_tree_on_disk() -> None:
    (tree,) = re.findall(r"## Folders\n\n```\n(.*?)```", _read(ROOT / "README.md"), re.DOTALL)
    rows = [re.fullmatch(r"(\S+) {2,}(\S.*)", line) for line in tree.splitlines()]
    named = [row[1] for row in rows if row]
    assert len(named) == len(rows), "every folder has a purpose"
    assert sorted(named) == sorted(_folders())


@pytest.mark.parametrize("pattern", ["*.md", "docs/*.md", "examples/*.md", "deploy/**/*.md"])
def test_the_links_of_the_pages_lead_somewhere(pattern: str) -> None:
    pages = list(ROOT.glob(pattern))
    assert pages
    assert [link for page in pages for link in _dead_links(page)] == []


def test_the_modules_that_the_architecture_names_exist() -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", _read(DOCS / "architecture.md")))
    assert named
    homes = [ROOT / "service" / "skhost", ROOT / "service", ROOT / "adapters", ROOT]
    assert [name for name in named if not any((home / name).is_file() for home in homes)] == []


@pytest.fixture(scope="module")
def app_routes(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """(method, path) of every route that the OpenAPI document lists."""
    app = create_app(Settings(data_dir=tmp_path_factory.mktemp("data")))
    paths = app.openapi()["paths"]
    routes = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    assert ("POST", "/classify") in routes
    return routes


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path
        return
    for name, child in children.items():
        yield from _commands(child, (*path, name))


def _folders() -> Iterator[str]:
    """Top folders with files in them, and the packages and their folders."""
    for path in ROOT.iterdir():
        hidden = path.name.startswith(".") and path.name != ".ci"
        if path.is_dir() and not hidden and path.name not in NOT_OURS:
            yield from _packages(path) if path.name in DEEP else [path.name]


def _packages(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_dir() and path.name not in NOT_OURS and any(path.glob("*.*")):
            yield str(path.relative_to(ROOT))


def _shell(page: str) -> str:
    """All shell code of a page."""
    return "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))


def _dead_links(page: Path) -> list[str]:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", _read(page))
    return [f"{page.name}: {target}" for target in targets if not (page.parent / target).exists()]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
