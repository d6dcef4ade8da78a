"""Every Redis key of the service: its name, type, content and expiry. Nothing else spells one."""

from dataclasses import dataclass
from typing import Final

SELF_TEST_TTL_S: Final = 30 * 24 * 3600
JOB_TTL_S: Final = 30 * 24 * 3600  # after its end; set on a job's record, events and report
IDEMPOTENCY_TTL_S: Final = 24 * 3600
WORKER_TTL_S: Final = 20
EVENTS_MAX_LENGTH: Final = 2_000

_TRAIN: Final = "train"


@dataclass(frozen=True, slots=True)
class Keys:
    """Key names of one tenant. All start with ``skhost:<tenant>:``."""

    tenant: str = "default"

    def _key(self, *parts: str) -> str:
        return ":".join(("skhost", self.tenant, *parts))

    # catalogue

    def adapters(self) -> str:
        """Sorted set: names of the adapters that exist, all with score 0 (paged by name). Stays."""
        return self._key("adapters")

    def adapter(self, name: str) -> str:
        """Hash: all that changes about one adapter. Stays, so that numbers are never reused.

        Fields: ``revision`` (of its last change), ``last_version``, ``retired`` ("1" once the
        whole adapter is), ``alias:<alias>`` (version), ``history:<alias>`` (versions that the
        alias pointed at before, newest first, joined by commas), ``state:<version>``,
        ``note:<version>``, ``quarantine:<version>`` (who found what).
        """
        return self._key("adapter", name)

    def versions(self, name: str) -> str:
        """Hash: version → JSON of what never changes about it (digest, base, …). Stays."""
        return self._key("versions", name)

    def publish_tokens(self, name: str) -> str:
        """Hash: publish token (a job's id) → the version that it became. Stays."""
        return self._key("publish-tokens", name)

    def revision(self) -> str:
        """String: counter of all changes in the catalogue. Stays."""
        return self._key("revision")

    def changes(self) -> str:
        """Sorted set: adapter name → revision of its last change, retired ones too. Stays."""
        return self._key("changes")

    def digests(self) -> str:
        """Hash: artifact digest → number of versions, not retired, that use it. Stays."""
        return self._key("digests")

    def orphans(self) -> str:
        """Sorted set: digest that no version uses → Unix time since when. Until it is deleted."""
        return self._key("orphans")

    def notices(self) -> str:
        """Pub/sub channel: JSON ``{"name", "revision"}`` after each change. Nothing is kept."""
        return self._key("notices")

    def self_test(self, digest: str, base_digest: str, dtype: str) -> str:
        """String: "1", the artifact passed its self-test on this base, dtype. SELF_TEST_TTL_S."""
        return self._key("self-test", digest, base_digest, dtype)

    # jobs

    def train_queue(self) -> str:
        """Name of the RQ queue of training jobs (RQ puts its own ``rq:queue:`` before it)."""
        return self._key(_TRAIN)

    def jobs(self) -> str:
        """Sorted set: job id → Unix time of its submission. Stays; ids whose record is gone go."""
        return self._key("jobs")

    def active_jobs(self) -> str:
        """Sorted set: id of a job that has not ended → Unix time of its queueing. Until its end."""
        return self._key("jobs", "active")

    def job(self, job_id: str) -> str:
        """Hash: a training job's record, the truth about it. JOB_TTL_S after its end."""
        return self._key("job", job_id)

    def job_events(self, job_id: str) -> str:
        """Stream: kind and JSON data of EVENTS_MAX_LENGTH events. JOB_TTL_S after the job's end."""
        return self._key("job", job_id, "events")

    def job_report(self, job_id: str) -> str:
        """String: JSON of what the upload held. JOB_TTL_S after the job's end."""
        return self._key("job", job_id, "report")

    def job_fence(self, job_id: str) -> str:
        """String: counter, raised by each claim of the job; its value is the one valid token.

        Whoever holds a smaller one was replaced and may write nothing. JOB_TTL_S after its end.
        """
        return self._key("job", job_id, "fence")

    def job_cancel(self, job_id: str) -> str:
        """String: "1" while the job is asked to stop. Until it ends or is resumed."""
        return self._key("job", job_id, "cancel")

    def name_lock(self, name: str) -> str:
        """String: id of the job that trains this adapter name now. Until the job ends.

        It goes in the same step as the job ends; whoever finds the lock of a job that has ended,
        or is gone, may take it.
        """
        return self._key("name-lock", name)

    def idempotency(self, token: str) -> str:
        """String: id of the job that a client's Idempotency-Key made. IDEMPOTENCY_TTL_S."""
        return self._key("idempotency", token)


@dataclass(frozen=True, slots=True)
class CommonKeys:
    """Key names of what all tenants share. All start with ``skhost:_:``, which no tenant can."""

    def _key(self, *parts: str) -> str:
        return ":".join(("skhost", "_", *parts))

    def api_keys(self) -> str:
        """Hash: id of an API key → JSON of its record, a hash of the key in it. Stays."""
        return self._key("api-keys")

    def tenants(self) -> str:
        """Hash: tenant → JSON of its quotas. Stays."""
        return self._key("tenants")

    def access_revision(self) -> str:
        """String: counter of all changes of API keys and tenants. Stays."""
        return self._key("access-revision")

    def limits(self) -> str:
        """String: prefix of the counters of requests and tokens. Until their window ends."""
        return self._key("limits")

    def workers(self) -> str:
        """Sorted set: worker id → Unix time of its last heartbeat. Stays; old ones are dropped."""
        return self._key("workers")

    def worker(self, worker_id: str) -> str:
        """Hash: a live worker's host, pid, start, job and its tenant. WORKER_TTL_S, renewed."""
        return self._key("worker", worker_id)


def tenant_of_queue(name: str) -> str:
    """The tenant whose `Keys.train_queue` this is."""
    return name.removeprefix("skhost:").removesuffix(f":{_TRAIN}")
