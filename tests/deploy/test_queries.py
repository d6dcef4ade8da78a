"""The dashboard, the alert rules and the scrape speak of metrics and labels that exist."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector
from promql_parser import AggregateExpr, BinaryExpr, VectorSelector

from skhost.app import create_app
from skhost.jobs import JobState
from skhost.metrics import Metrics
from skhost.settings import Settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "observability"
COMPOSE = ROOT / "docker-compose.yml"
SCRAPED = {"namespace", "job", "instance"}  # what Prometheus adds
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
VARIABLES = {"$__rate_interval": "5m", "$job": "skhost", "$instance": ".*"}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    board: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
    return board


def dashboard_queries() -> list[str]:
    found = [t["expr"] for panel in dashboard()["panels"] for t in panel.get("targets", [])]
    for variable, value in VARIABLES.items():
        found = [query.replace(variable, value) for query in found]
    return found


QUERIES = [*dashboard_queries(), *(rule["expr"] for rule in rules())]


@pytest.fixture(scope="module")
def series() -> dict[str, set[str]]:
    """Labels of every series that a server has, by name."""
    registry = CollectorRegistry()
    Metrics(registry)
    collectors: dict[str, Any] = registry._names_to_collectors
    known = {
        family.name + suffix: {*collectors[family.name]._labelnames, *_bucket(suffix)}
        for family in registry.collect()
        for suffix in SUFFIXES[family.type]
    }
    process = CollectorRegistry()
    ProcessCollector(registry=process)
    names = {sample.name for family in process.collect() for sample in family.samples}
    return known | {name: set() for name in (*names, "up")}


def _bucket(suffix: str) -> set[str]:
    return {"le"} if suffix == "_bucket" else set()


def parts_of(query: str) -> Iterator[Any]:
    """Every node of a query."""
    nodes: list[Any] = []
    promql_parser.walk(promql_parser.parse(query), nodes.append)
    return iter(nodes)


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_what_exists(query: str, series: dict[str, set[str]]) -> None:
    labels = set(SCRAPED)
    for node in parts_of(query):
        if isinstance(node, VectorSelector):
            assert node.name in series
            labels |= series[str(node.name)]
            asked = {matcher.name for matcher in node.matchers.matchers}
            assert asked <= series[str(node.name)] | SCRAPED
    for node in parts_of(query):
        if isinstance(node, AggregateExpr | BinaryExpr):
            assert set(_grouping(node)) <= labels


def _grouping(node: Any) -> list[str]:
    if isinstance(node, AggregateExpr):
        return [] if node.modifier is None else list(node.modifier.labels)
    matching = getattr(node.modifier, "matching", None)
    return [] if matching is None else list(matching.labels)


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("skhost_request_total", "skhost_request_total"),
        ('skhost_jobs{stat="queued"}', "stat"),
        ("sum by (adaptor) (skhost_adapter_requests_total)", "adaptor"),
        ("skhost_jobs / on (tier) skhost_workers", "tier"),
    ],
)
def test_a_query_for_what_does_not_exist_is_found(
    query: str, complaint: str, series: dict[str, set[str]]
) -> None:
    with pytest.raises(AssertionError, match=complaint):
        test_a_query_asks_for_what_exists(query, series)


def test_label_values_are_ones_that_occur(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    occur = {
        "route": {*app.openapi()["paths"], "unmatched"},
        "state": {*JobState, "busy", "idle"},
        "tier": {"device", "host", "store"},
        "result": {"ok", "failed"},
        "outcome": {"ok", "error"},
        "stage": {"pin", "tokenise", "queue", "run", "decode"},
        "code": {str(status) for status in range(500, 600)},
    }
    sources = "".join(p.read_text() for p in (ROOT / "service" / "skhost").rglob("*.py"))
    occur["reason"] = {f"{state}_key" for state in ("revoked", "expired")} | set(
        re.findall(r'(?:reason=|drop\(|code = 429, )"([a-z_]+)"', sources)
    )
    for query in QUERIES:
        for node in parts_of(query):
            if isinstance(node, VectorSelector):
                for matcher in node.matchers.matchers:
                    if matcher.name in ("instance", "job"):
                        continue
                    for value in matcher.value.split("|"):
                        found = [v for v in occur[matcher.name] if re.fullmatch(value, v)]
                        assert found, f"{matcher.name}={value} never occurs: {query}"


def test_every_metric_is_on_the_dashboard() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    text = "\n".join(dashboard_queries())
    names = [family.name for family in registry.collect()]
    assert [name for name in names if not re.search(rf"\b{name}(_|\b)", text)] == []


def test_the_dashboard_s_panels_have_places_of_their_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_every_alert_says_what_to_do() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    headings = re.findall(r"^### (\w+)$", page, re.MULTILINE)
    assert headings == [rule["alert"] for rule in rules()]
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        about = rule["annotations"]
        assert set(about) == {"summary", "description", "runbook_url"}
        assert about["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"


def test_compose_starts_them_with_these_files() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    mounted = {}
    for name in ("prometheus", "grafana"):
        service = services[name]
        assert service["profiles"] == ["observe"]
        assert ":" in service["image"]
        assert "latest" not in service["image"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        for volume in service["volumes"]:
            source, target, *_ = volume.split(":")
            if source.startswith("./"):
                assert (ROOT / source).is_file(), source
                mounted[target] = ROOT / source
    scrape = yaml.safe_load(mounted["/etc/prometheus/prometheus.yml"].read_text())
    assert all(path in mounted for path in scrape["rule_files"])
    (job,) = scrape["scrape_configs"]
    assert job["job_name"] == "skhost"
    (target,) = job["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert host in services[host]["environment"]["SKHOST_ALLOWED_HOSTS"].split(",")
    assert int(port) == Settings().port
    provider = "/etc/grafana/provisioning/dashboards/skhost.yml"
    folder = yaml.safe_load(mounted[provider].read_text())["providers"][0]["options"]["path"]
    assert mounted[f"{folder}/skhost.json"] == FOLDER / "dashboard.json"


@pytest.fixture(scope="module")
def promtool() -> str:
    """Prometheus's own checker, which Debian's package `prometheus` brings."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    return found


def test_promtool_takes_the_rules_and_the_scrape(promtool: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [promtool, "check", "rules", str(FOLDER / "rules.yml")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text = (FOLDER / "prometheus.yml").read_text()
    text = text.replace("/etc/prometheus/rules.yml", str(FOLDER / "rules.yml"))
    key = tmp_path / "key"
    key.touch()
    config = tmp_path / "prometheus.yml"
    config.write_text(text.replace("/run/secrets/metrics-key", str(key)))
    done = subprocess.run(
        [promtool, "check", "config", str(config)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alerts_fire_when_they_should(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "test", "rules", "rules_test.yml"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    fired = {
        alert["alertname"]
        for test in yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
        for alert in test["alert_rule_test"]
        if alert.get("exp_alerts")
    }
    assert fired == {rule["alert"] for rule in rules()}
