import pytest
from prometheus_client import CollectorRegistry, generate_latest

from skhost.metrics import AdapterLabels, Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry(), max_adapter_labels=2)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_every_name_has_the_prefix(metrics: Metrics) -> None:
    names = [family.name for family in metrics.registry.collect()]
    assert names
    assert all(name.startswith("skhost_") for name in names)


def test_two_sets_live_side_by_side(metrics: Metrics) -> None:
    other = Metrics(CollectorRegistry())
    other.waiting(3, 30)
    assert value(metrics, "skhost_queue_items") == 0
    assert value(other, "skhost_queue_items") == 3


def test_a_request_counts_once(metrics: Metrics) -> None:
    metrics.request("/classify", 200, 0.015)
    metrics.request("/classify", 200, 0.5)
    metrics.request("/classify", 429, 0.001)
    assert value(metrics, "skhost_requests_total", route="/classify", code="200") == 2
    assert value(metrics, "skhost_requests_total", route="/classify", code="429") == 1
    assert value(metrics, "skhost_request_seconds_count", route="/classify") == 3
    assert value(metrics, "skhost_request_seconds_sum", route="/classify") == pytest.approx(0.516)
    assert value(metrics, "skhost_request_seconds_bucket", route="/classify", le="0.02") == 2


def test_items_are_counted_by_outcome(metrics: Metrics) -> None:
    metrics.classified("sentiment", ok=3, failed=1, truncated=2)
    metrics.classified("sentiment", ok=1, failed=0, truncated=0)
    assert value(metrics, "skhost_items_total", outcome="ok") == 4
    assert value(metrics, "skhost_items_total", outcome="error") == 1
    assert value(metrics, "skhost_truncated_inputs_total") == 2
    assert value(metrics, "skhost_adapter_requests_total", adapter="sentiment") == 2


def test_adapter_labels_are_bounded(metrics: Metrics) -> None:
    for name in ("a", "b", "c", "a", "d"):
        metrics.classified(name, ok=1, failed=0, truncated=0)
    assert value(metrics, "skhost_adapter_requests_total", adapter="a") == 2
    assert value(metrics, "skhost_adapter_requests_total", adapter="b") == 1
    assert value(metrics, "skhost_adapter_requests_total", adapter="other") == 2
    assert value(metrics, "skhost_adapter_requests_total", adapter="c") is None


def test_a_name_keeps_its_label() -> None:
    labels = AdapterLabels(max_names=1)
    assert [labels.label(name) for name in ("a", "b", "a", "b")] == ["a", "other", "a", "other"]


def test_batches_fall_into_power_of_two_buckets(metrics: Metrics) -> None:
    metrics.batch(items=5, tokens=200, adapters=3, seconds=0.03)
    metrics.batch(items=8, tokens=256, adapters=1, seconds=0.01)
    assert value(metrics, "skhost_batch_items_bucket", le="4.0") == 0
    assert value(metrics, "skhost_batch_items_bucket", le="8.0") == 2
    assert value(metrics, "skhost_batch_tokens_sum") == 456
    assert value(metrics, "skhost_batch_tokens_bucket", le="128.0") == 0
    assert value(metrics, "skhost_batch_tokens_bucket", le="256.0") == 2
    assert value(metrics, "skhost_batch_adapters_bucket", le="1.0") == 1
    assert value(metrics, "skhost_stage_seconds_sum", stage="run") == pytest.approx(0.04)


def test_stages_fall_into_millisecond_buckets(metrics: Metrics) -> None:
    metrics.stage("tokenise", 0.0015)
    assert value(metrics, "skhost_stage_seconds_bucket", stage="tokenise", le="0.001") == 0
    assert value(metrics, "skhost_stage_seconds_bucket", stage="tokenise", le="0.002") == 1


def test_drops_are_counted_by_reason(metrics: Metrics) -> None:
    metrics.drop("cancelled", 3)
    metrics.drop("cancelled", 0)
    metrics.drop("deadline", 1)
    assert value(metrics, "skhost_drops_total", reason="cancelled") == 3
    assert value(metrics, "skhost_drops_total", reason="deadline") == 1


def test_gauges_hold_the_last_value(metrics: Metrics) -> None:
    metrics.waiting(5, 100)
    metrics.waiting(2, 40)
    assert value(metrics, "skhost_queue_items") == 2
    assert value(metrics, "skhost_queue_tokens") == 40


def test_residency_is_told_by_tier(metrics: Metrics) -> None:
    metrics.budgets({"device": 1000, "host": 5000}, capacity=7)
    metrics.resident("device", 2, 600)
    metrics.load("store", "ok", 0.2)
    metrics.load("store", "failed", 0.1)
    metrics.load("host", "ok", 0.002)
    metrics.evicted("device")
    assert value(metrics, "skhost_budget_bytes", tier="device") == 1000
    assert value(metrics, "skhost_budget_bytes", tier="host") == 5000
    assert value(metrics, "skhost_capacity_adapters") == 7
    assert value(metrics, "skhost_resident_adapters", tier="device") == 2
    assert value(metrics, "skhost_resident_bytes", tier="device") == 600
    assert value(metrics, "skhost_loads_total", tier="store", result="ok") == 1
    assert value(metrics, "skhost_loads_total", tier="store", result="failed") == 1
    assert value(metrics, "skhost_load_seconds_count", tier="store") == 2
    assert value(metrics, "skhost_evictions_total", tier="device") == 1


def test_the_registry_s_state_is_told(metrics: Metrics) -> None:
    metrics.registry_state(12, 3.5, is_degraded=True, held=1)
    assert value(metrics, "skhost_registry_adapters") == 12
    assert value(metrics, "skhost_registry_staleness_seconds") == 3.5
    assert value(metrics, "skhost_registry_degraded") == 1
    assert value(metrics, "skhost_registry_held_aliases") == 1
    metrics.registry_state(12, 0.0, is_degraded=False, held=0)
    assert value(metrics, "skhost_registry_degraded") == 0


def test_a_job_state_without_jobs_is_zero(metrics: Metrics) -> None:
    metrics.jobs({"running": 2}, ["queued", "running"])
    metrics.jobs({"queued": 1}, ["queued", "running"])
    assert value(metrics, "skhost_jobs", state="queued") == 1
    assert value(metrics, "skhost_jobs", state="running") == 0


def test_they_are_exposed_as_text(metrics: Metrics) -> None:
    metrics.waiting(5, 100)
    assert b"\nskhost_queue_items 5.0\n" in generate_latest(metrics.registry)
