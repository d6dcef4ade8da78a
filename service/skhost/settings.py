"""The service's settings: one frozen object, read from the environment once and passed in."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from skhost.access.record import check_rate
from skhost.access.token import parse_hashed

PREFIX = "SKHOST_"
HASHED_FORM = "skh_<id>_sha256:<hash>"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

OPENTELEMETRY = "OTEL_EXPORTER_OTLP_ENDPOINT"  # read by everything that sends traces


def _endpoint(value: str | None) -> str | None:
    value = value or os.environ.get(OPENTELEMETRY)
    if value is not None and not value.startswith(("http://", "https://")):
        raise ValueError("an http:// or https:// URL is expected, such as http://collector:4318")
    return value


Rate = Annotated[str | None, AfterValidator(check_rate)]
Endpoint = Annotated[str | None, AfterValidator(_endpoint)]


class Settings(BaseSettings):
    """Every setting; each is also an environment variable with the prefix ``SKHOST_``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    data_dir: Path = Field(Path("skhost-data"), description="Where everything local is kept.")
    redis_url: str | None = Field(
        None, description="Redis or Valkey; without it an embedded Valkey server is started."
    )
    store_url: str | None = Field(
        None, description="fsspec URL of the artifact store; a folder in data_dir by default."
    )
    tenant: str = Field(
        "default",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
        description="Of whoever calls without a key, and of the admin key.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    allow_remote: bool = Field(
        False, description="Listen beyond loopback although there are no API keys."
    )
    allowed_hosts: str | None = Field(
        None,
        description="Host names, joined by commas, that requests may name while there are no API "
        "keys; loopback's by default, any with ALLOW_REMOTE.",
    )
    require_keys: bool = Field(
        False, description="Ask for API keys even while there are none: then nobody may call."
    )
    admin_key: SecretStr | None = Field(
        None, description="An admin key for the server's tenant: the key, or its hash."
    )
    key_requests: Rate = Field(None, description="Requests a key, such as 600/minute.")
    key_tokens: Rate = Field(None, description="Tokens classified a key, such as 1000000/day.")
    tenant_requests: Rate = Field(None, description="Requests of all keys of a tenant.")
    tenant_tokens: Rate = Field(None, description="Tokens of all keys of a tenant.")
    open_metrics: bool = Field(False, description="Answer /metrics without an API key.")

    base: str | None = Field(
        None, description="Base model: folder, GGUF file or Hugging Face id; packaged by default."
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Number format of the base and of what it computes; a server's auto is "
        "bfloat16 where the device is fast at it.",
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="Processor threads of the forward; by default as many as the container has.",
    )

    max_batch_tokens: int = Field(4096, ge=64, description="Tokens a forward, prompts included.")
    max_waiting_items: int = Field(4096, ge=1, description="Texts that may wait.")
    max_waiting_tokens: int = Field(262_144, ge=64, description="Tokens that may wait.")
    max_waiting_s: float = Field(
        10.0,
        gt=0,
        description="Seconds that what waits may take, as fast as the device has been lately; "
        "beyond that new texts are refused.",
    )
    max_items_per_request: int = Field(256, ge=1, description="Texts a request.")
    max_adapters_per_request: int = Field(16, ge=1, description="Adapters a fan-out.")
    max_text_chars: int = Field(100_000, ge=1, description="Characters a text.")
    max_body_bytes: int = Field(4 << 20, ge=1024, description="Bytes a request body.")
    max_upload_bytes: int = Field(256 << 20, ge=1024, description="Bytes an uploaded file.")
    max_artifact_bytes: int = Field(256 << 20, ge=1024, description="Bytes an imported adapter.")
    request_timeout_s: float = Field(30.0, gt=0, description="Seconds a classification may take.")
    stream_window: int = Field(
        512,
        ge=1,
        description="Texts of one stream that are under way at once; long ones count more.",
    )
    stream_idle_s: float = Field(
        120.0, gt=0, description="Seconds a stream's client may neither send nor take anything."
    )
    canary_interval_s: float = Field(
        5.0,
        ge=0,
        description="Seconds between two looks at whether adapters in memory, and the base, still "
        "answer as they did; more where looks would take 1 % of the time. 0: none.",
    )
    stuck_after_s: float = Field(
        60.0,
        gt=0,
        description="Seconds without anything finished after which a device that has work counts "
        "as stuck: /livez fails then, and after twice as many the server ends.",
    )
    leave_s: float = Field(
        0.0,
        ge=0,
        description="Seconds after SIGTERM in which a server still answers all, and tells clients "
        "to connect elsewhere, before it refuses new work.",
    )
    drain_timeout_s: float = Field(30.0, ge=0, description="Seconds accepted work has to finish.")

    device_budget_bytes: int | None = Field(
        None, ge=0, description="Bytes for adapters on the device; a share of memory by default."
    )
    host_budget_bytes: int = Field(2 << 30, ge=0, description="Bytes for adapters in host memory.")
    broken_adapter_ttl_s: float = Field(30.0, ge=0, description="Seconds a failed load is kept.")
    reconcile_interval_s: float = Field(2.0, gt=0, description="Seconds between registry reads.")

    worker_threads: int | None = Field(
        None,
        ge=1,
        description="Processor threads of a training; by default as many as the container has.",
    )
    worker_nice: int = Field(
        19, ge=0, le=19, description="Niceness of a training process and of its session."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least important lines that are logged, to stderr."
    )
    log_format: Literal["text", "json"] = Field("text", description="Lines, or JSON objects.")
    metric_adapters: int = Field(
        100, ge=0, le=10_000, description="Adapters with a label of their own in the metrics."
    )
    otlp_endpoint: Endpoint = Field(
        None,
        validate_default=True,
        description="Where traces go, OTLP over HTTP; needs `skhost[otel]`. "
        f"`{OPENTELEMETRY}` does the same.",
    )

    @field_validator("admin_key")
    @classmethod
    def _is_a_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and parse_hashed(value.get_secret_value().strip()) is None:
            raise ValueError(f"neither a key (`skhost keys new` prints one) nor {HASHED_FORM}")
        return value

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOOPBACK

    @property
    def store(self) -> str:
        """The store's fsspec URL."""
        return self.store_url or f"file://{(self.data_dir / 'store').resolve()}"


def check_environment(environ: dict[str, str] | None = None) -> list[str]:
    """Names in the environment that look like settings and are none (pydantic ignores them)."""
    names = os.environ if environ is None else environ
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    return sorted(name for name in names if name.upper().startswith(PREFIX) and name not in known)
