"""The parts of a running server, and what it says about itself."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import PurePath
from typing import Any

from skhost import __version__
from skhost.access.keyring import Keyring
from skhost.access.limits import Limiter
from skhost.drain import Drain
from skhost.engine import Engine
from skhost.errors import Draining
from skhost.metrics import Metrics
from skhost.settings import Settings
from skhost.workspaces import Workspace, Workspaces

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
    keyring: Keyring
    limiter: Limiter
    engine: Engine
    workspaces: Workspaces

    @property
    def home(self) -> Workspace:
        """The workspace of callers without a key."""
        return self.workspaces.home

    def check_not_draining(self) -> None:
        """Raise Draining once the server is shutting down."""
        if self.drain.is_draining:
            raise Draining("the server is shutting down")

    def degradations(self) -> list[str]:
        """What is wrong although the server is ready; names no adapter."""
        views = [registry.stats() for registry in self.engine.registries.all.values()]
        found = []
        if any(view.is_degraded for view in views):
            age_s = max(view.staleness_s for view in views)
            found.append(f"the registry does not answer; it was last read {age_s:.0f} s ago")
        if held := sum(len(view.held) for view in views):
            found.append(
                f"{held} aliases stay at an earlier version because the wanted one cannot serve; "
                "/info says which"
            )
        if unserved := sum(len(view.unserved) for view in views):
            found.append(
                f"{unserved} aliases point at a version that cannot be used, so requests for them "
                "fail; /info says which"
            )
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

    def build_facts(self) -> dict[str, str]:
        """Of the metric `skhost_build_info`."""
        base, versions = self.base_facts(), self.versions()
        return {
            "version": versions["skhost"],
            "base": PurePath(base["name"]).name,  # of a folder the last part
            **{name: base[name] for name in ("family", "dtype", "device")},
            **{name: versions[name] for name in ("torch", "transformers")},
        }

    def limit_facts(self) -> dict[str, Any]:
        """What a request may ask for."""
        return {name: getattr(self.settings, name) for name in _LIMITS}

    def versions(self) -> dict[str, str]:
        """Of this software and of what its numbers depend on."""
        return {"skhost": __version__, "torch": version("torch")} | {
            name: version(name) for name in ("transformers", "tokenizers")
        }
