"""Whether a server answers at all: asked from outside, for a process that hangs cannot tell."""

import asyncio
import logging
from typing import Final

log = logging.getLogger(__name__)

PROBES: Final = 4  # in a row that must go unanswered: one may be lost while this machine sleeps
_PAUSE_S: Final = 1.0
_ASK: Final = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def until_silent(host: str, port: int, after_s: float) -> None:
    """Return when the server has answered once, and then nothing for `after_s`.

    Any answer will do: a server that says that it cannot go on ends by itself.
    """
    has_answered, unanswered = False, 0
    while unanswered < PROBES:
        if await _answers(host, port, after_s / PROBES):
            has_answered, unanswered = True, 0
            await asyncio.sleep(_PAUSE_S)
        else:
            unanswered += has_answered
    log.error("the server has answered nothing for %.0f s", after_s)


async def _answers(host: str, port: int, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(_ASK)
                return bool(await reader.readline())
            finally:
                writer.close()
    except TimeoutError:
        return False
    except OSError:
        await asyncio.sleep(within_s)
        return False
