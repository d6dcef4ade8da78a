"""The embedded registry for as long as a process needs it: started, kept alive, stopped."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from skhost.errors import RegistryUnavailable
from skhost.settings import Settings
from skhost.valkey import EmbeddedValkey

log = logging.getLogger(__name__)

CHECK_EVERY_S = 1.0


@asynccontextmanager
async def registry_url(settings: Settings) -> AsyncIterator[str]:
    """The registry's URL: the one that is set, or that of the embedded Valkey while inside.

    Raises:
        RegistryUnavailable: the embedded server does not start.
    """
    if settings.redis_url is not None:
        yield settings.redis_url
        return
    valkey = EmbeddedValkey(settings.data_dir)
    url = await asyncio.to_thread(valkey.start)
    keeper = asyncio.create_task(_keep(valkey), name="skhost-valkey")
    try:
        yield url
    finally:
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
        await asyncio.to_thread(valkey.stop)


async def _keep(valkey: EmbeddedValkey) -> None:
    while True:
        await asyncio.sleep(CHECK_EVERY_S)
        if await asyncio.to_thread(valkey.is_running):
            continue
        try:
            await asyncio.to_thread(valkey.start)
            log.warning("the embedded Valkey server had ended and was started again")
        except RegistryUnavailable as error:
            log.error("%s", error)
