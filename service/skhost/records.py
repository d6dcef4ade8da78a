"""What the catalogue says of an adapter: values only, and how a selector picks a version."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from skhost.errors import AliasNotFound, VersionNotFound
from skhost.names import DEFAULT_ALIAS
from sktuning.config import BaseIdentity


class VersionState(StrEnum):
    """Where a version is in its life."""

    CANDIDATE = "candidate"  # published, and no alias has pointed at it yet
    LIVE = "live"  # an alias points or pointed at it
    RETIRED = "retired"  # answers no more; its number stays taken


class Origin(StrEnum):
    """How a version came to be."""

    TRAINING = "training"
    IMPORT = "import"
    LABELS = "labels"  # made from label names alone: it saw no data and nobody measured it


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """One published version of an adapter."""

    name: str
    version: int
    digest: str  # of the artifact, "sha256:…"
    base: BaseIdentity
    task: str
    labels: tuple[str, ...]
    created_at: float  # Unix time
    job_id: str | None  # the training that made it, if one did
    metrics: Mapping[str, Any]
    nbytes: int  # of the served tensors
    state: VersionState
    note: str | None = None  # why it stayed a candidate
    origin: Origin = Origin.IMPORT
    tenant: str = "default"
    quarantine: str | None = None  # which server found that it answers differently, and how

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        base = {"name": self.base.name, "digest": self.base.digest}
        return {
            "name": self.name,
            "version": self.version,
            "state": self.state.value,
            "note": self.note,
            "quarantine": self.quarantine,
            "digest": self.digest,
            "base": base,
            "task": self.task,
            "labels": list(self.labels),
            "created_at": self.created_at,
            "origin": self.origin.value,
            "job_id": self.job_id,
            "metrics": finite(dict(self.metrics)),
            "nbytes": self.nbytes,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The reverse of `to_dict`."""
        parsed = {
            "base": BaseIdentity(**values["base"]),
            "labels": tuple(values["labels"]),
            "state": VersionState(values["state"]),
            "origin": Origin(values.get("origin") or _origin(values["job_id"])),
        }
        return cls(**{**values, **parsed})


@dataclass(frozen=True, slots=True)
class AdapterRecord:
    """An adapter with all its versions and aliases, as of `revision`."""

    name: str
    aliases: Mapping[str, int]
    versions: tuple[VersionRecord, ...]  # by number, retired ones too
    revision: int
    history: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # newest first
    tenant: str = "default"
    is_pinned: bool = False  # what its aliases point at stays in memory

    def select(self, selector: int | str | None = None) -> VersionRecord:
        """The version of this number or alias; of the default alias without one.

        Raises:
            VersionNotFound: no such version, or it was retired.
            AliasNotFound: no such alias.
        """
        if isinstance(selector, int):
            return self._numbered(selector)
        alias = selector or DEFAULT_ALIAS
        if alias in self.aliases:
            return self._numbered(self.aliases[alias])
        raise no_alias(self.name, alias, self.aliases)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "tenant": self.tenant,
            "revision": self.revision,
            "aliases": dict(self.aliases),
            "history": {alias: list(versions) for alias, versions in self.history.items()},
            "pinned": self.is_pinned,
            "versions": [version.to_dict() for version in self.versions],
        }

    def _numbered(self, version: int) -> VersionRecord:
        for record in self.versions:
            if record.version == version and record.state is not VersionState.RETIRED:
                return record
        retired = any(record.version == version for record in self.versions)
        raise no_version(self.name, version, self.versions, was_retired=retired)


def read_adapter(
    tenant: str, name: str, fields: Mapping[str, str], versions: Mapping[str, str]
) -> AdapterRecord:
    """The record of the two hashes `Keys.adapter` and `Keys.versions`."""
    parsed = [
        _read_version(tenant, name, int(number), fields, text) for number, text in versions.items()
    ]
    return AdapterRecord(
        name=name,
        aliases={alias: int(version) for alias, version in _under("alias:", fields)},
        versions=tuple(sorted(parsed, key=lambda record: record.version)),
        revision=int(fields["revision"]),
        tenant=tenant,
        history={
            alias: tuple(int(version) for version in past.split(","))
            for alias, past in _under("history:", fields)
            if past
        },
        is_pinned="pinned" in fields,
    )


def _read_version(
    tenant: str, name: str, number: int, fields: Mapping[str, str], text: str
) -> VersionRecord:
    state, note = fields[f"state:{number}"], fields.get(f"note:{number}")
    values = {**json.loads(text), "tenant": tenant}
    values["quarantine"] = fields.get(f"quarantine:{number}")
    return VersionRecord.from_dict(
        {**values, "name": name, "version": number, "state": state, "note": note}
    )


def _origin(job_id: str | None) -> Origin:
    """Of a version that was published before origins were written down."""
    return Origin.IMPORT if job_id is None else Origin.TRAINING


def _under(prefix: str, fields: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for field_name, value in fields.items():
        if field_name.startswith(prefix):
            yield field_name.removeprefix(prefix), value


def no_alias(name: str, alias: str, aliases: Mapping[str, int]) -> AliasNotFound:
    """The error for an alias that `name` does not have."""
    has = ", ".join(f"{a} → {v}" for a, v in sorted(aliases.items()))
    return AliasNotFound(
        f"adapter {name!r} has no alias {alias!r}; "
        + (f"it has {has}" if has else f"it has none: promote a version, or ask for {name}@1"),
        details={"aliases": dict(aliases)},
    )


def no_version(
    name: str, version: int, versions: tuple[VersionRecord, ...], *, was_retired: bool
) -> VersionNotFound:
    """The error for a version that `name` never had or has no more."""
    usable = [r.version for r in versions if r.state is not VersionState.RETIRED]
    what = f"version {version} of {name!r} was retired"
    if not was_retired:
        what = f"adapter {name!r} has no version {version}"
    has = f"it has {', '.join(map(str, usable[-10:]))}" if usable else "it has none that answers"
    return VersionNotFound(f"{what}; {has}", details={"versions": usable})


def finite(value: Any) -> Any:
    """The same JSON value with None for numbers that JSON does not have (a metric may be NaN)."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
