"""What is kept of a key, and who calls: values only."""

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self

SHARED: Final = "shared"  # the tenant whose adapters every other one can use

_RATE: Final = re.compile(r"[1-9][0-9]{0,17}/(second|minute|hour|day)")


class Scope(StrEnum):
    """What a key may do; admin may do all of it, within its tenant."""

    CLASSIFY = "classify"
    TRAIN = "train"
    METRICS = "metrics"  # scrape them, and nothing else
    ADMIN = "admin"


USERS: Final = (Scope.CLASSIFY, Scope.TRAIN)  # who work with adapters


class KeyState(StrEnum):
    """Whether a key opens anything now."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


def check_rate(text: str | None) -> str | None:
    """The same bound.

    Raises:
        ValueError: it has another form than ``N/second|minute|hour|day``.
    """
    if text is None or _RATE.fullmatch(text):
        return text
    raise ValueError("a bound looks like 600/minute; units are second, minute, hour and day")


@dataclass(frozen=True, slots=True)
class Quotas:
    """Upper bounds as ``N/second|minute|hour|day``; None: the server's default."""

    requests: str | None = None
    tokens: str | None = None

    def to_dict(self) -> dict[str, str | None]:
        """Plain JSON values."""
        return {"requests": self.requests, "tokens": self.tokens}


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as it is kept: everything but the key."""

    id: str
    hash: str = field(repr=False)
    tenant: str
    scopes: frozenset[Scope]
    name: str = ""  # for people
    created_at: float = 0.0  # Unix times
    created_by: str = ""
    expires_at: float | None = None
    revoked_at: float | None = None
    quotas: Quotas = Quotas()

    def state(self, now: float | None = None) -> KeyState:
        """Whether it opens anything at a Unix time, now by default."""
        now = time.time() if now is None else now
        if self.revoked_at is not None and self.revoked_at <= now:
            return KeyState.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return KeyState.EXPIRED
        return KeyState.ACTIVE

    def to_dict(self) -> dict[str, Any]:
        """For people: plain JSON values without the hash."""
        return {
            "id": self.id,
            "name": self.name,
            "tenant": self.tenant,
            "scopes": sorted(self.scopes),
            "state": self.state(),
            "created_at": self.created_at,
            "created_by": self.created_by,
            "expires_at": self.expires_at,
            "revoked_at": self.revoked_at,
            **self.quotas.to_dict(),
        }

    def to_json(self) -> str:
        """What is stored."""
        values = self.to_dict()
        del values["state"]
        return json.dumps({**values, "hash": self.hash})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The reverse of `to_json`."""
        values = json.loads(text)
        quotas = Quotas(values.pop("requests"), values.pop("tokens"))
        scopes = frozenset(map(Scope, values.pop("scopes")))
        return cls(**values, scopes=scopes, quotas=quotas)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: a key, or anyone where there are none."""

    tenant: str
    scopes: frozenset[Scope]
    key_id: str | None = None
    quotas: Quotas = Quotas()

    @property
    def who(self) -> str:
        """For logs; never the key itself."""
        return self.key_id or "anyone"

    def may(self, scopes: Iterable[Scope]) -> bool:
        """Whether it has one of these scopes."""
        return Scope.ADMIN in self.scopes or not self.scopes.isdisjoint(scopes)


@dataclass(frozen=True, slots=True)
class Granted:
    """All keys and tenants, as of a revision."""

    revision: int
    keys: Mapping[str, KeyRecord]
    num_keys: int  # with those that cannot be read: they open nothing, but they are there
    tenants: Mapping[str, Quotas]
