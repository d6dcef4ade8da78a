"""Every Prometheus metric: its name, its buckets, and the one place where it is written."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

OTHER = "other"
MAX_ADAPTER_LABELS = 100

ITEMS = tuple(2**n for n in range(11))  # 1 to 1024
TOKENS = tuple(2**n for n in range(4, 16))  # 16 to 32768
STAGE_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
REQUEST_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
LOAD_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0)


class AdapterLabels:
    """Keeps the number of label values bounded: the first names seen stay, the rest is `other`.

    A name keeps what it got: a counter that moved between labels would go backwards.
    """

    def __init__(self, max_names: int = MAX_ADAPTER_LABELS) -> None:
        self._max_names = max_names
        self._names: set[str] = set()

    def label(self, name: str) -> str:
        """`name` while there is room for it, else `other`."""
        if name not in self._names and len(self._names) < self._max_names:
            self._names.add(name)
        return name if name in self._names else OTHER


class Metrics:
    """The service's metrics on one collector registry; other parts call, only this file names.

    Adapter names must exist before they come here: a label value is kept for good.
    """

    def __init__(
        self, registry: CollectorRegistry, *, max_adapter_labels: int = MAX_ADAPTER_LABELS
    ) -> None:
        self.registry = registry
        self._views: dict[str, tuple[int, float, bool, int]] = {}
        self._job_counts: dict[str, dict[str, int]] = {}
        self._adapters = AdapterLabels(max_adapter_labels)
        self._requests = self._counter("requests", "Answered HTTP requests", "route", "code")
        self._request_s = self._histogram("request_seconds", "HTTP requests", REQUEST_S, "route")
        self._items = self._counter("items", "Classified texts by outcome", "outcome")
        self._adapter_requests = self._counter(
            "adapter_requests", "Classification requests by adapter", "adapter"
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
        self._jobs = self._gauge("jobs", "Training jobs by state", "state")

    def request(self, route: str, code: int, seconds: float) -> None:
        """An HTTP request on a route template was answered."""
        self._requests.labels(route, str(code)).inc()
        self._request_s.labels(route).observe(seconds)

    def classified(self, adapter: str, *, ok: int, failed: int, truncated: int) -> None:
        """One adapter answered a request with so many results and so many errors."""
        self._adapter_requests.labels(self._adapters.label(adapter)).inc()
        self._items.labels("ok").inc(ok)
        self._items.labels("error").inc(failed)
        self._truncated.inc(truncated)

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
        """A stage took so long: tokenise (a request), queue (a text), run (a batch), decode."""
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
        tenant: str = "default",
    ) -> None:
        """What the view of a tenant's registry looks like now; told are all tenants together."""
        self._views[tenant] = (adapters, staleness_s, is_degraded, held)
        counts, ages, degraded, holds = zip(*self._views.values(), strict=True)
        self._registry_adapters.set(sum(counts))
        self._staleness_s.set(max(ages))
        self._degraded.set(int(any(degraded)))
        self._held.set(sum(holds))

    def jobs(
        self, by_state: Mapping[str, int], states: Iterable[str], tenant: str = "default"
    ) -> None:
        """How many jobs a tenant has in each of `states`; told are all tenants together.

        A state without any is 0, not absent.
        """
        self._job_counts[tenant] = dict(by_state)
        for state in states:
            count = sum(counts.get(state, 0) for counts in self._job_counts.values())
            self._jobs.labels(state).set(count)

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
