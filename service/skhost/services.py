"""The parts of a running server, and what it says about itself."""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from skhost import __version__
from skhost.admission import Admission
from skhost.catalog import Catalog
from skhost.creation import Creation
from skhost.drain import RETRY_AFTER_S, Drain
from skhost.engine import Engine
from skhost.errors import Draining
from skhost.jobs import Jobs
from skhost.metrics import Metrics
from skhost.releases import Releases
from skhost.settings import Settings
from skhost.transfer import Transfer

_LIMITS = (
    *("max_items_per_request", "max_adapters_per_request", "max_text_chars", "max_body_bytes"),
    *("max_upload_bytes", "max_artifact_bytes", "max_batch_tokens", "max_waiting_items"),
    *("max_waiting_tokens", "request_timeout_s", "stream_window", "stream_idle_s"),
)


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes call."""

    settings: Settings
    drain: Drain
    metrics: Metrics
    catalog: Catalog
    engine: Engine
    releases: Releases
    transfer: Transfer
    creation: Creation
    jobs: Jobs
    admission: Admission

    def check_not_draining(self) -> None:
        """Raise Draining once the server is shutting down."""
        if self.drain.is_draining:
            raise Draining("the server is shutting down", retry_after_s=RETRY_AFTER_S)

    def degradations(self) -> list[str]:
        """What is wrong but does not keep known adapters from answering."""
        stats = self.engine.registry.stats()
        found = []
        if stats.is_degraded:
            found.append(
                f"the registry does not answer; it was last read {stats.staleness_s:.0f} s ago"
            )
        found += [
            f"{held.name}@{held.alias} stays at version {held.serving} instead of {held.wanted}: "
            f"{held.reason}"
            for held in stats.held
        ]
        return found

    def base_facts(self) -> dict[str, Any]:
        """The frozen base."""
        base = self.engine.classifier.base
        return {
            "name": base.identity.name,
            "digest": base.identity.digest,
            "family": base.family,
            "is_causal": base.is_causal,
            "path": base.path,
            "max_length": base.max_length,
            "hidden_size": base.hidden_size,
            "num_layers": base.num_layers,
            "dtype": str(base.dtype).removeprefix("torch."),
            "device": str(base.device),
        }

    def limit_facts(self) -> dict[str, Any]:
        """What a request may ask for."""
        return {name: getattr(self.settings, name) for name in _LIMITS}

    def versions(self) -> dict[str, str]:
        """Of this software and of what its numbers depend on."""
        return {"skhost": __version__, "torch": version("torch")} | {
            name: version(name) for name in ("transformers", "tokenizers")
        }
