"""What this server knows of the keys: all of them, in memory, so that no request waits for Redis.

A counter in Redis is asked twice a second; when it has moved, all keys are read again. So a key
that was revoked opens nothing after less than a second, and known keys work while Redis is away.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from skhost import audit
from skhost.access.record import Caller, Granted, KeyRecord, KeyState, Quotas, Scope
from skhost.access.store import KeyStore
from skhost.access.token import is_same, parse_token
from skhost.errors import RegistryUnavailable, ServiceError, Unauthorized

log = logging.getLogger(__name__)

CHECK_EVERY_S: Final = 0.5
READ_EVERY_S: Final = 30.0  # whatever the counter says: a Redis that lost it may count anew
LOOK_WITHIN_S: Final = 1.0  # for a key that is not known here
_NOBODY: Final = "0" * 64  # compared with where there is no such key
_HOW: Final = "send one as `Authorization: Bearer skh_…` (`skhost keys create` makes one)"


class Keyring:
    """Tells who calls.

    Args:
        tenant: of those who call without a key, where that is possible.
        admin: a key that is not kept in Redis.
        may_be_open: whether anyone may call as long as no key was ever made.
    """

    def __init__(
        self, store: KeyStore, tenant: str, admin: KeyRecord | None = None, *, may_be_open: bool
    ) -> None:
        self._store = store
        self._anyone = Caller(tenant, frozenset(Scope))
        self._admin = {} if admin is None else {admin.id: admin}
        self._may_be_open = may_be_open
        self._granted: Granted | None = None
        self._read_at = 0.0  # when all of it was last read
        self._asked_at = 0.0  # when the last look that succeeded began
        self._looking = asyncio.Lock()

    @property
    def is_known(self) -> bool:
        """Whether the keys have ever been read."""
        return self._granted is not None

    @property
    def has_keys(self) -> bool:
        """Whether any key was ever made; ended ones count: ending the last opens nothing."""
        return bool(self._admin or (self._granted and self._granted.num_keys))

    @property
    def is_open(self) -> bool:
        """Whether anyone may call."""
        return self._may_be_open and self.is_known and not self.has_keys

    @property
    def tenants(self) -> Mapping[str, Quotas]:
        """All tenants that a key was ever made for."""
        return self._granted.tenants if self._granted else {}

    async def identify(self, given: str | None) -> Caller:
        """Whoever holds the key `given`.

        Raises:
            Unauthorized: none was given, or one that opens nothing.
            RegistryUnavailable: the keys are not known yet.
        """
        if self.is_open:
            return self._anyone
        if given is None:
            self._check_known()
            raise _needed()
        token = parse_token(given)
        record = None if token is None else await self._find(token.id)
        kept = _NOBODY if record is None else record.hash
        is_its = token is not None and is_same(token.hash, kept)
        if record is None or not is_its:
            self._check_known()
            raise _unknown()
        _check_active(record)
        return Caller(record.tenant, record.scopes, record.id, record.quotas)

    def recheck(self, caller: Caller) -> None:
        """Return if somebody who was let in may stay; asks nobody.

        Raises:
            Unauthorized: the key has ended since, or there are keys now and this one had none.
        """
        if caller.key_id is None:
            if not self.is_open:
                raise _needed()
        elif (record := self._known(caller.key_id)) is None:
            raise _unknown()
        else:
            _check_active(record)

    async def look(self) -> None:
        """Read the keys if they have changed.

        Raises:
            RegistryUnavailable: Redis does not answer; what is known stays.
        """
        began = time.monotonic()
        async with self._looking:
            if self._asked_at > began:  # someone looked while this one waited
                return
            began = time.monotonic()
            before = self._granted
            is_old = began - self._read_at > READ_EVERY_S
            if before is None or is_old or await self._store.revision() != before.revision:
                self._read_at = began
                self._granted = await self._store.read()
                _tell(before, self._granted)
            self._asked_at = began

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        is_away = False
        while True:
            try:
                await self.look()
                is_away = False
            except ServiceError as error:
                if not is_away:
                    log.warning("the API keys cannot be read: %s", error.message)
                is_away = True
            await asyncio.sleep(CHECK_EVERY_S)

    async def _find(self, key_id: str) -> KeyRecord | None:
        if (found := self._known(key_id)) is not None:
            return found
        try:
            async with asyncio.timeout(LOOK_WITHIN_S):
                await self.look()  # it may have been made just now
        except (RegistryUnavailable, TimeoutError) as error:
            raise RegistryUnavailable(
                f"API key {key_id} is not known here, and the registry does not answer now",
                retry_after_s=LOOK_WITHIN_S,
            ) from error
        return self._known(key_id)

    def _known(self, key_id: str) -> KeyRecord | None:
        kept = self._granted.keys if self._granted else {}
        return self._admin.get(key_id) or kept.get(key_id)

    def _check_known(self) -> None:
        if not self.is_known:
            raise RegistryUnavailable(
                "the API keys have not been read yet: the registry does not answer",
                retry_after_s=CHECK_EVERY_S,
            )


def _needed() -> Unauthorized:
    return Unauthorized(f"this needs an API key; {_HOW}")


def _unknown() -> Unauthorized:
    return Unauthorized(f"this API key is none of this server's; {_HOW}", reason="unknown_key")


def _check_active(record: KeyRecord) -> None:
    if (state := record.state()) is not KeyState.ACTIVE:
        raise Unauthorized(f"API key {record.id} is {state}; {_HOW}", reason=f"{state}_key")


def _tell(before: Granted | None, now: Granted) -> None:
    """Let the audit log have what the command line changed."""
    if before is None:
        return
    for key_id, record in now.keys.items():
        if (action := _change(before.keys.get(key_id), record)) is not None:
            scopes = sorted(record.scopes)
            audit.record(
                action,
                key_id,
                by=record.created_by if action == "key.create" else "command line",
                tenant=record.tenant,
                outcome="done",
                scopes=scopes,
            )
    for tenant, quotas in now.tenants.items():
        bounds: dict[str, Any] = quotas.to_dict()
        if quotas != before.tenants.get(tenant, Quotas()):
            audit.record(
                *("tenant.limit", tenant),
                by="command line",
                tenant=tenant,
                outcome="done",
                **bounds,
            )


def _change(before: KeyRecord | None, now: KeyRecord) -> str | None:
    if before is None:
        return "key.create"
    if before.revoked_at != now.revoked_at:
        return "key.revoke"
    return None if before.expires_at == now.expires_at else "key.expire"
