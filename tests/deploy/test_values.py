"""The chart's values, their schema and their table say the same."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from manifests import Document

import skhost
from skhost.settings import Settings

HELM = Path(__file__).parents[2] / "deploy" / "helm"
CHART = HELM / "skhost"


def schema() -> Document:
    loaded: Document = json.loads((CHART / "values.schema.json").read_text())
    return loaded


def load(name: str) -> Any:
    """A script of deploy/helm as a module."""
    spec = importlib.util.spec_from_file_location(name, HELM / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def objects(node: Any, path: str = "") -> Iterator[tuple[str, Document]]:
    """Every schema of an object with names of its own."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from objects(item, f"{path}/{index}")
    elif isinstance(node, dict):
        if node.get("type") == "object":
            yield path, node
        for key, value in node.items():
            yield from objects(value, f"{path}/{key}")


def resolved(node: Document) -> Document:
    if "$ref" in node:
        found: Document = schema()["$defs"][node["$ref"].removeprefix("#/$defs/")]
        return found
    return node


def test_no_object_takes_names_that_it_does_not_know() -> None:
    open_objects = {
        path for path, node in objects(schema()) if node.get("additionalProperties") is not False
    }
    passed_on = {
        "/$defs/strings",
        "/$defs/kubernetes",
        "/$defs/objects/items",
        "/properties/global",
        "/properties/api/properties/extraEnv/items",
        "/properties/worker/properties/extraEnv/items",
    }
    assert open_objects == passed_on


def test_every_value_has_a_schema_and_the_other_way_round(chart_values: Document) -> None:
    def compare(values: Document, node: Document, path: str) -> None:
        known = node.get("properties", {})
        assert set(values) == set(known) - {"global"}, path
        for key, value in values.items():
            below = resolved(known[key])
            if "properties" in below and isinstance(value, dict) and value and key != "resources":
                compare(value, below, f"{path}.{key}")

    compare(chart_values, schema(), "")


def test_the_schema_of_the_settings_is_that_of_the_service() -> None:
    module = load("settings_schema")
    assert schema()["$defs"]["settings"] == module.settings_schema(), (
        "run deploy/helm/settings_schema.py"
    )


def test_what_the_chart_sets_itself_are_settings() -> None:
    assert set(Settings.model_fields) >= load("settings_schema").MANAGED


def test_the_readmes_table_is_what_values_yaml_says() -> None:
    module = load("values_table")
    readme = (CHART / "README.md").read_text()
    assert readme == module.with_table(readme, (CHART / "values.yaml").read_text()), (
        "run deploy/helm/values_table.py"
    )


def test_a_value_that_nobody_describes_is_found() -> None:
    module = load("values_table")
    described = "a:\n  # -- what it is\n  # and more\n  b: 1\n"
    assert "| `a.b` | `1` | what it is and more |" in module.table(described)
    with pytest.raises(module.Undescribed, match=r"a\.c"):
        module.table(described + "  c: 2\n")


def test_chart_and_package_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == skhost.__version__
    assert chart["version"] == skhost.__version__
