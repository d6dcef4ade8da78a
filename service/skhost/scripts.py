"""The Lua scripts of the catalogue: read from the package, run whole on the server."""

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis

from skhost.connection import registry_errors
from skhost.keys import Keys

_LUA = "lua"
_SHARED = "catalog.lua"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a catalogue script returned: a refusal, or the adapter as it is after the script."""

    refusal: str | None  # one of the reasons that the scripts give to `refuse`
    detail: str  # of the refusal, or the version that the script was about
    fields: dict[str, str]  # the hash Keys.adapter
    versions: dict[str, str]  # the hash Keys.versions


class Scripts:
    """Runs the catalogue's scripts for one tenant."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._scripts = {
            file.name.removesuffix(".lua"): redis.register_script(_source(file.name))
            for file in (files("skhost") / _LUA).iterdir()
            if file.name.endswith(".lua") and file.name != _SHARED
        }

    async def run(
        self, script: str, name: str, *args: str, extra_keys: tuple[str, ...] = ()
    ) -> Answer:
        """Run one script about the adapter `name`.

        Raises:
            RegistryUnavailable: Redis or Valkey does not answer.
        """
        keys = self._keys
        named = (keys.adapter(name), keys.versions(name), keys.adapters(), keys.revision())
        shared = (keys.changes(), keys.digests(), keys.orphans())
        with registry_errors():
            answer = await self._scripts[script](
                keys=[*named, *shared, *extra_keys], args=[name, keys.notices(), *args]
            )
        if answer[0] == "refused":
            return Answer(answer[1], str(answer[2]), {}, {})
        return Answer(None, str(answer[1]), _pairs(answer[2]), _pairs(answer[3]))

    async def take_orphans(self, min_age_s: float, limit: int) -> list[str]:
        """Remove and return digests that no version has used for `min_age_s` seconds.

        Raises:
            RegistryUnavailable: Redis or Valkey does not answer.
        """
        with registry_errors():
            taken: list[str] = await self._scripts["take_orphans"](
                keys=[self._keys.orphans()], args=[min_age_s, limit]
            )
        return taken


def _source(name: str) -> str:
    folder = files("skhost") / _LUA
    if name == "take_orphans.lua":
        return (folder / name).read_text()
    return (folder / _SHARED).read_text() + (folder / name).read_text()


def _pairs(flat: Any) -> dict[str, str]:
    """A hash as a script returns it: names and values in turn."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
