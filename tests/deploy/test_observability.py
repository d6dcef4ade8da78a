"""Dashboards and alert rules in the chart are copies of those in deploy/observability."""

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "skhost"
HELM = ROOT / ".tools" / "bin" / "helm"
RULES = {
    "groups": [
        {
            "name": "skhost",
            "rules": [
                {
                    "alert": "Down",
                    "expr": "up == 0",
                    "for": "5m",
                    "annotations": {"summary": "{{ $labels.pod }} is away"},
                }
            ],
        }
    ]
}


def copying() -> Any:
    path = ROOT / "deploy" / "helm" / "copy_observability.py"
    spec = importlib.util.spec_from_file_location("copy_observability", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_charts_files_are_copies() -> None:
    module = copying()
    found = {
        path.relative_to(module.FILES).as_posix(): path.read_bytes()
        for path in module.FILES.rglob("*.*")
    }
    wanted = {name: path.read_bytes() for name, path in module.wanted(module.SOURCE).items()}
    assert found == wanted, "run deploy/helm/copy_observability.py"


def test_what_is_neither_a_dashboard_nor_rules_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "grafana").mkdir()
    (tmp_path / "grafana" / "board.json").write_text("{}")
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(RULES))
    (tmp_path / "prometheus.yml").write_text("scrape_configs: []\n")
    assert set(copying().wanted(tmp_path)) == {"dashboards/board.json", "rules/alerts.yaml"}


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A copy of the chart with one dashboard and one file of rules."""
    folder = tmp_path / "skhost"
    shutil.copytree(CHART, folder, ignore=shutil.ignore_patterns("files"))
    for name, content in (("dashboards/a.json", {"title": "A"}), ("rules/a.yaml", RULES)):
        (folder / "files" / name).parent.mkdir(parents=True)
        (folder / "files" / name).write_text(json.dumps(content))
    return folder


def template(chart: Path, home: dict[str, str], *values: str) -> dict[str, Any]:
    """What the chart makes of these values, by kind."""
    if not HELM.exists():
        pytest.skip("helm is not in .tools: run `make deploy-check`, which installs it")
    command = [str(HELM), "template", "rel", str(chart), "--set", ",".join(values)]
    done = subprocess.run(command, env=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {each["kind"]: each for each in yaml.safe_load_all(done.stdout) if each}


def test_rules_are_handed_over_as_they_are(chart: Path, helm_home: dict[str, str]) -> None:
    made = template(
        chart, helm_home, "prometheusRule.enabled=true", "prometheusRule.labels.release=p"
    )
    rule = made["PrometheusRule"]
    assert rule["apiVersion"] == "monitoring.coreos.com/v1"
    assert rule["spec"] == RULES
    assert rule["metadata"]["labels"]["release"] == "p"


def test_dashboards_lie_in_a_config_map_that_grafanas_sidecar_finds(
    chart: Path, helm_home: dict[str, str]
) -> None:
    made = template(chart, helm_home, "dashboard.enabled=true")["ConfigMap"]
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert {name: json.loads(text) for name, text in made["data"].items()} == {
        "a.json": {"title": "A"}
    }
