"""Every Prometheus metric: its name, its buckets, and the one place where it is written."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from skhost.drain import Drain
from skhost.labels import AdapterLabels

MAX_ADAPTER_LABELS = 100

ITEMS = tuple(2**n for n in range(11))  # 1 to 1024
TOKENS = tuple(2**n for n in range(4, 16))  # 16 to 32768
# Close where answers are: a quantile between two buckets is a guess.
STAGE_S = (
    *(0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0),
)
REQUEST_S = (
    *(0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0),
)
LOAD_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0)

REFUSED = frozenset({401, 403, 429})
BUILD = ("version", "base", "family", "dtype", "device", "torch", "transformers")


@dataclass(frozen=True, slots=True)
class JobCensus:
    """What a tenant's training jobs are at."""

    by_state: Mapping[str, int]
    oldest_queued_s: float = 0.0  # since it was queued
    longest_silence_s: float = 0.0  # of a working job's training process
    rows_per_s: float = 0.0  # of all that train


class Metrics:
    """The service's metrics on one collector registry; other parts call, only this file names.

    Adapter names must exist before they come here: what anybody may invent is no label.
    """

    def __init__(
        self, registry: CollectorRegistry, *, max_adapter_labels: int = MAX_ADAPTER_LABELS
    ) -> None:
        self.registry = registry
        self._views: dict[str, tuple[int, float, bool, int, int]] = {}
        self._censuses: dict[str, JobCensus] = {}
        self._adapters = AdapterLabels(max_adapter_labels)
        self._requests = self._counter("requests", "Answered HTTP requests", "route", "code")
        self._request_s = self._histogram("request_seconds", "HTTP requests", REQUEST_S, "route")
        self._errors = self._counter("errors", "Errors answered, by their code", "code")
        self._refusals = self._counter(
            "access_refusals", "Requests answered 401, 403 or 429, by why", "reason"
        )
        self._items = self._counter("items", "Classified texts by outcome", "outcome")
        self._adapter_requests = self._counter(
            "adapter_requests", "Classification requests by adapter", "adapter"
        )
        self._adapter_items = self._counter(
            "adapter_items", "Classified texts by adapter and outcome", "adapter", "outcome"
        )
        self._adapter_tokens = self._counter(
            "adapter_tokens", "Tokens of classified texts by adapter", "adapter"
        )
        self._truncated = self._counter("truncated_inputs", "Texts cut to the base's length")
        self._drops = self._counter("drops", "Texts or requests given up before a batch", "reason")
        self._limited = self._counter("limited", "Requests refused by a bound", "policy")
        self._skipped = self._counter(
            "limits_skipped", "Requests that were not counted: Redis did not answer"
        )
        self._waiting_items = self._gauge("queue_items", "Texts that wait for a batch")
        self._waiting_tokens = self._gauge("queue_tokens", "Tokens that wait for a batch")
        self._batch_items = self._histogram("batch_items", "Texts a batch", ITEMS)
        self._batch_tokens = self._histogram("batch_tokens", "Tokens a batch", TOKENS)
        self._batch_adapters = self._histogram("batch_adapters", "Adapters a batch", ITEMS)
        self._stage_s = self._histogram(
            "stage_seconds", "Stages of a classification", STAGE_S, "stage"
        )
        self._loads = self._counter("loads", "Adapter loads", "tier", "result")
        self._load_s = self._histogram("load_seconds", "Duration of adapter loads", LOAD_S, "tier")
        self._evictions = self._counter("evictions", "Adapters that left a tier", "tier")
        self._resident = self._gauge("resident_adapters", "Adapters in memory", "tier")
        self._resident_bytes = self._gauge("resident_bytes", "Bytes of adapters", "tier")
        self._kept = self._gauge("pinned_adapters", "Versions that an operator keeps in memory")
        self._looks = self._counter("canary_looks", "Replays of golden inputs by outcome", "result")
        self._look_s = self._counter("canary_seconds", "Seconds of the device spent on them")
        self._quarantined = self._gauge(
            "quarantined_adapters", "Adapters that are refused: they answer differently than before"
        )
        self._budget_bytes = self._gauge("budget_bytes", "Bytes adapters may take", "tier")
        self._capacity = self._gauge("capacity_adapters", "Reference adapters that fit the device")
        self._registry_adapters = self._gauge("registry_adapters", "Adapters that can be named")
        self._staleness_s = self._gauge(
            "registry_staleness_seconds", "Age of what is known of the registry"
        )
        self._degraded = self._gauge("registry_degraded", "1 while the registry does not answer")
        self._held = self._gauge("registry_held_aliases", "Aliases whose new version cannot serve")
        self._unserved = self._gauge(
            "registry_unserved_aliases", "Aliases whose version cannot be used, and no earlier one"
        )
        self._jobs = self._gauge("jobs", "Training jobs by state", "state")
        self._oldest_job_s = self._gauge(
            "oldest_queued_job_seconds", "How long the job has waited that waits for longest"
        )
        self._job_silence_s = self._gauge(
            "job_heartbeat_age_seconds", "Silence of the working job that is silent for longest"
        )
        self._training_rate = self._gauge(
            "training_rows_per_second", "Rows a second of all jobs that train now"
        )
        self._workers = self._gauge("workers", "Training workers by what they do", "state")
        self._worker_silence_s = self._gauge(
            "worker_heartbeat_age_seconds", "Silence of the worker that is silent for longest"
        )
        self._active = self._gauge("active_requests", "Requests that are being answered")
        self._draining = self._gauge("draining", "1 while new work is refused")
        self._drain_s = self._gauge("drain_seconds", "How long the drain has taken")
        self._drain_limit_s = self._gauge(
            "drain_limit_seconds", "How long the drain may take: the setting"
        )
        self._busy_s = self._gauge(
            "device_busy_seconds", "How long the device has been at its present work"
        )
        self._threads = self._gauge(
            "forward_threads", "Processor threads of the last forward; 1 while others need them"
        )
        self._build = self._gauge("build_info", "What runs here; always 1", *BUILD)

    def build(self, facts: Mapping[str, str]) -> None:
        """What this server is: a value for each of `BUILD`."""
        self._build.labels(**facts).set(1)

    def follow(self, drain: Drain) -> None:
        """Tell of the drain and of what it waits for, as they are when somebody asks."""
        self._active.set_function(lambda: drain.active)
        self._draining.set_function(lambda: drain.is_draining)
        self._drain_s.set_function(lambda: drain.seconds)
        self._drain_limit_s.set(drain.timeout_s)

    def follow_device(self, busy_s: Callable[[], float], threads: Callable[[], int]) -> None:
        """Tell how long the device is at its present work, and with how many threads it works."""
        self._busy_s.set_function(busy_s)
        self._threads.set_function(threads)

    def request(self, route: str, code: int, seconds: float) -> None:
        """An HTTP request on a route template was answered."""
        self._requests.labels(route, str(code)).inc()
        self._request_s.labels(route).observe(seconds)

    def error(self, code: str, status: int, reason: str = "") -> None:
        """An error was answered; `reason` is one of the few words of `ServiceError.reason`."""
        self._errors.labels(code).inc()
        if status in REFUSED:
            self._refusals.labels(reason or code).inc()

    def classified(
        self, adapter: str, *, ok: int, failed: int, truncated: int, tokens: int = 0
    ) -> None:
        """One adapter answered a request with so many results and so many errors."""
        label = self._adapters.label(adapter)
        self._adapter_requests.labels(label).inc()
        self._adapter_tokens.labels(label).inc(tokens)
        for outcome, count in (("ok", ok), ("error", failed)):
            self._items.labels(outcome).inc(count)
            self._adapter_items.labels(label, outcome).inc(count)
        self._truncated.inc(truncated)
        for name in self._adapters.take_replaced():
            for counter in (self._adapter_requests, self._adapter_tokens, self._adapter_items):
                counter.remove_by_labels({"adapter": name})

    def drop(self, reason: str, count: int) -> None:
        """Work was given up before it cost anything: cancelled, deadline, overloaded, closed."""
        if count:
            self._drops.labels(reason).inc(count)

    def limited(self, policy: str) -> None:
        """A request was refused: its key or tenant has used what it may."""
        self._limited.labels(policy).inc()

    def limits_skipped(self) -> None:
        """Nobody could tell what a key or tenant has used."""
        self._skipped.inc()

    def waiting(self, items: int, tokens: int) -> None:
        """What waits for a batch now."""
        self._waiting_items.set(items)
        self._waiting_tokens.set(tokens)

    def batch(self, items: int, tokens: int, adapters: int, seconds: float) -> None:
        """A batch was run."""
        self._batch_items.observe(items)
        self._batch_tokens.observe(tokens)
        self._batch_adapters.observe(adapters)
        self.stage("run", seconds)

    def stage(self, stage: str, seconds: float) -> None:
        """A stage took so long: queue is a text's, run a batch's, the others are a request's."""
        self._stage_s.labels(stage).observe(seconds)

    def load(self, tier: str, result: str, seconds: float) -> None:
        """An adapter was brought onto the device from `tier`, or could not be."""
        self._loads.labels(tier, result).inc()
        self._load_s.labels(tier).observe(seconds)

    def evicted(self, tier: str) -> None:
        """An adapter left a tier to make room."""
        self._evictions.labels(tier).inc()

    def resident(self, tier: str, adapters: int, nbytes: int) -> None:
        """What a tier holds now."""
        self._resident.labels(tier).set(adapters)
        self._resident_bytes.labels(tier).set(nbytes)

    def kept(self, adapters: int) -> None:
        """How many versions operators have pinned."""
        self._kept.set(adapters)

    def looked(self, result: str, seconds: float) -> None:
        """The canary looked at an adapter: same, changed, healed or unread."""
        self._looks.labels(result).inc()
        self._look_s.inc(seconds)

    def quarantined(self, adapters: int) -> None:
        """How many adapters in memory are refused."""
        self._quarantined.set(adapters)

    def budgets(self, budget_bytes: Mapping[str, int], capacity: int) -> None:
        """What the tiers may hold, set once."""
        for tier, nbytes in budget_bytes.items():
            self._budget_bytes.labels(tier).set(nbytes)
        self._capacity.set(capacity)

    def registry_state(
        self,
        adapters: int,
        staleness_s: float,
        *,
        is_degraded: bool,
        held: int,
        unserved: int,
        tenant: str = "default",
    ) -> None:
        """What the view of a tenant's registry looks like now; told are all tenants together."""
        self._views[tenant] = (adapters, staleness_s, is_degraded, held, unserved)
        counts, ages, degraded, holds, broken = zip(*self._views.values(), strict=True)
        self._registry_adapters.set(sum(counts))
        self._staleness_s.set(max(ages))
        self._degraded.set(int(any(degraded)))
        self._held.set(sum(holds))
        self._unserved.set(sum(broken))

    def jobs(self, census: JobCensus, states: Iterable[str], tenant: str = "default") -> None:
        """What a tenant's jobs are at; told are all tenants together.

        A state without any is 0, not absent.
        """
        self._censuses[tenant] = census
        known = self._censuses.values()
        for state in states:
            self._jobs.labels(state).set(sum(each.by_state.get(state, 0) for each in known))
        self._oldest_job_s.set(max(each.oldest_queued_s for each in known))
        self._job_silence_s.set(max(each.longest_silence_s for each in known))
        self._training_rate.set(sum(each.rows_per_s for each in known))

    def workers(self, busy: int, idle: int, longest_silence_s: float) -> None:
        """Which training workers live; all tenants share them."""
        self._workers.labels("busy").set(busy)
        self._workers.labels("idle").set(idle)
        self._worker_silence_s.set(longest_silence_s)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace="skhost", registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, namespace="skhost", registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(
            name, text, labels, namespace="skhost", buckets=buckets, registry=self.registry
        )
