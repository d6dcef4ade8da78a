"""How many pods there are, where they run, and by which figures that is decided."""

import re
from pathlib import Path

import pytest
import yaml
from manifests import Render
from prometheus_client import CollectorRegistry

from skhost.jobs.record import TERMINAL, JobState
from skhost.metrics import JobCensus, Metrics

HELM = Path(__file__).parents[2] / "deploy" / "helm"
ADAPTER = yaml.safe_load((HELM / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
PROMETHEUS = "worker.autoscaling.prometheusUrl=http://prometheus:9090"
SPREAD = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
METRIC = re.compile(r"skhost_[a-z_]+")


@pytest.fixture(scope="module")
def series() -> set[str]:
    """Every series that a server shows."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.stage("queue", 0.1)
    metrics.jobs(JobCensus({}), [state.value for state in JobState])
    return {sample.name for family in registry.collect() for sample in family.samples}


def test_servers_follow_the_time_and_the_tokens_that_wait(render: Render) -> None:
    more = "api.autoscaling.maxReplicas=5,api.autoscaling.queueMilliseconds=20"
    manifests = render("--set", f"api.autoscaling.enabled=true,{more}")
    spec = manifests.get("HorizontalPodAutoscaler")["spec"]
    assert spec["scaleTargetRef"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": manifests.get("Deployment", "api")["metadata"]["name"],
    }
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 5)
    wanted = {
        each["pods"]["metric"]["name"]: each["pods"]["target"]["averageValue"]
        for each in spec["metrics"]
    }
    assert wanted == {"skhost_queue_seconds": "20m", "skhost_queue_tokens": "4096"}
    # The autoscaler owns the number: an upgrade must not set it back.
    assert "replicas" not in manifests.get("Deployment", "api")["spec"]


def test_a_figure_of_zero_is_not_looked_at(render: Render) -> None:
    manifests = render("--set", "api.autoscaling.enabled=true,api.autoscaling.queueTokens=0")
    (only,) = manifests.get("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert only["pods"]["metric"]["name"] == "skhost_queue_seconds"


def test_the_adapter_makes_exactly_what_the_autoscaler_asks_for(render: Render) -> None:
    manifests = render("--set", "api.autoscaling.enabled=true")
    metrics = manifests.get("HorizontalPodAutoscaler")["spec"]["metrics"]
    asked = {each["pods"]["metric"]["name"] for each in metrics}
    assert {rule["name"]["as"] for rule in ADAPTER} == asked
    for rule in ADAPTER:
        assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}


def test_every_series_that_decides_exists(render: Render, series: set[str]) -> None:
    for rule in ADAPTER:
        for query in (rule["seriesQuery"], rule["metricsQuery"]):
            assert set(METRIC.findall(query)) <= series, query
    manifests = render("--set", f"worker.autoscaling.enabled=true,{PROMETHEUS}")
    (trigger,) = manifests.get("ScaledObject")["spec"]["triggers"]
    assert METRIC.findall(trigger["metadata"]["query"]) == ["skhost_jobs"]
    assert "skhost_jobs" in series


def test_workers_follow_the_jobs_that_have_not_ended(render: Render) -> None:
    manifests = render("--set", f"worker.autoscaling.enabled=true,{PROMETHEUS}")
    spec = manifests.get("ScaledObject")["spec"]
    states = "|".join(state for state in JobState if state not in TERMINAL)
    labels = f'namespace="prod",service="rel-skhost",state=~"{states}"'
    assert spec == {
        "scaleTargetRef": {"name": manifests.get("Deployment", "worker")["metadata"]["name"]},
        "minReplicaCount": 0,
        "maxReplicaCount": 4,
        "pollingInterval": 15,
        "cooldownPeriod": 300,
        "fallback": {"failureThreshold": 4, "replicas": 1},
        "advanced": {
            "horizontalPodAutoscalerConfig": {
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}}
            }
        },
        "triggers": [
            {
                "type": "prometheus",
                "metadata": {
                    "serverAddress": "http://prometheus:9090",
                    "query": f"sum(max by (state) (skhost_jobs{{{labels}}}))",
                    "threshold": "1",
                    "ignoreNullValues": "false",
                },
            }
        ],
    }
    assert "replicas" not in manifests.get("Deployment", "worker")["spec"]


def test_the_jobs_asked_for_are_those_of_this_releases_service(render: Render) -> None:
    manifests = render("--set", f"worker.autoscaling.enabled=true,{PROMETHEUS}", release="other")
    (trigger,) = manifests.get("ScaledObject")["spec"]["triggers"]
    service = manifests.get("Service", "skhost")["metadata"]["name"]
    assert f'service="{service}"' in trigger["metadata"]["query"]


def test_without_autoscaling_the_values_say_how_many(render: Render) -> None:
    manifests = render("--set", "api.replicas=3,worker.replicas=2")
    assert not manifests.of("HorizontalPodAutoscaler") + manifests.of("ScaledObject")
    counts = {c: manifests.get("Deployment", c)["spec"]["replicas"] for c in ("api", "worker")}
    assert counts == {"api": 3, "worker": 2}


@pytest.mark.parametrize("component", ["api", "worker"])
def test_pods_are_spread_as_far_as_it_goes(render: Render, component: str) -> None:
    manifests = render("--set", "storage.volume.accessMode=ReadWriteMany")
    template = manifests.get("Deployment", component)["spec"]["template"]
    constraints = template["spec"]["topologySpreadConstraints"]
    assert tuple(each["topologyKey"] for each in constraints) == SPREAD
    for each in constraints:
        assert each["whenUnsatisfiable"] == "ScheduleAnyway"
        wanted = each["labelSelector"]["matchLabels"]
        assert wanted["app.kubernetes.io/component"] == component
        assert wanted.items() <= template["metadata"]["labels"].items()


def test_pods_that_a_volume_keeps_together_are_not_spread(render: Render) -> None:
    spec = render().get("Deployment", "api")["spec"]["template"]["spec"]
    assert "affinity" in spec
    assert "topologySpreadConstraints" not in spec


def test_only_servers_are_more_urgent_than_others(render: Render) -> None:
    manifests = render("--set", "priorityClass.create=true,priorityClass.value=2000000")
    made = manifests.get("PriorityClass")
    assert (made["metadata"]["name"], made["value"]) == ("prod-rel-skhost", 2_000_000)
    pods = {name: pod["spec"].get("priorityClassName") for name, pod in manifests.pods()}
    assert pods["rel-skhost-api"] == "prod-rel-skhost"
    assert pods["rel-skhost-worker"] is None


def test_a_new_version_replaces_servers_one_by_one_and_none_is_missing(render: Render) -> None:
    spec = render().get("Deployment", "api")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    container = spec["template"]["spec"]["containers"][0]
    assert "preStop" in container["lifecycle"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
