"""Whether a server may open its doors, and the keyring that stands at them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from skhost.access.keyring import Keyring
from skhost.access.record import KeyRecord, Scope
from skhost.access.store import KeyStore
from skhost.access.token import parse_hashed
from skhost.background import end
from skhost.connection import connect
from skhost.embedded import registry_url
from skhost.errors import RegistryUnavailable, ServiceError
from skhost.settings import PREFIX, Settings

log = logging.getLogger(__name__)


class KeysNeeded(ServiceError):
    """The server can be reached from outside and has no API keys."""

    status, code = 500, "keys_needed"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"host {host} can be reached from outside and there are no API keys; make one with "
            f"`skhost keys create`, give one in {PREFIX}ADMIN_KEY, or set "
            f"{PREFIX}ALLOW_REMOTE=true if something in front of the server guards it"
        )


@asynccontextmanager
async def opened(settings: Settings, redis: Redis) -> AsyncIterator[Keyring]:
    """A keyring that is kept up to date inside the block.

    Without Redis nobody can tell whether there are keys: the server starts, and stays shut to all
    but the admin key until the keys are known.

    Raises:
        KeysNeeded: there are none, and the settings do not say that this is meant.
    """
    may_be_open = not settings.require_keys and (settings.is_loopback or settings.allow_remote)
    keyring = Keyring(
        KeyStore(redis), settings.tenant, _admin_key(settings), may_be_open=may_be_open
    )
    try:
        await keyring.look()
    except RegistryUnavailable as error:
        log.warning("the API keys cannot be read yet: %s", error.message)
    if keyring.is_known and not keyring.has_keys:
        if settings.require_keys:
            log.warning("nobody may call yet: `skhost keys create` makes the first API key")
        elif not may_be_open:
            raise KeysNeeded(settings.host)
        elif not settings.is_loopback:
            log.warning("anyone who reaches %s may do anything: no API keys", settings.host)
    task = asyncio.create_task(keyring.run(), name="skhost-keys")
    try:
        yield keyring
    finally:
        await end([task])


async def check_has_keys(settings: Settings) -> None:
    """The same check before anything else is started; starts an embedded registry to look.

    Raises:
        KeysNeeded: there are none, and the settings do not say that this is meant.
        RegistryUnavailable: the embedded registry does not start.
    """
    if settings.is_loopback or settings.allow_remote or settings.require_keys:
        return
    if settings.admin_key is not None:
        return
    async with registry_url(settings) as url, connect(url) as redis:
        try:
            granted = await KeyStore(redis).read()
        except RegistryUnavailable:
            return  # `opened` does not let anyone in then
    if not granted.num_keys:
        raise KeysNeeded(settings.host)


def _admin_key(settings: Settings) -> KeyRecord | None:
    if settings.admin_key is None:
        return None
    found = parse_hashed(settings.admin_key.get_secret_value().strip())
    assert found is not None  # the settings were checked
    key_id, key_hash = found
    return KeyRecord(key_id, key_hash, settings.tenant, frozenset({Scope.ADMIN}), "admin key")
