"""`skhost clean`: what the store keeps for nothing. Speaks to registry and store, to no server."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skhost.cli.configuration import load_settings
from skhost.cli.session import AsJson, Globals, new_table, write_json

if TYPE_CHECKING:
    from skhost.leftovers import LeftOver
    from skhost.settings import Settings


def clean(
    ctx: typer.Context,
    remove: Annotated[bool, typer.Option("--remove", help="Remove it; else only list it.")] = False,
    hours: Annotated[
        float, typer.Option(help="Leave alone what was stored later than so long ago.", min=1)
    ] = 24.0,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where an embedded registry is (SKHOST_DATA_DIR).")
    ] = None,
    redis_url: Annotated[
        str | None, typer.Option(help="Redis or Valkey (SKHOST_REDIS_URL).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what the store keeps and no version and no job of any tenant names; or remove it.

    What is being published has been stored and is not named yet: --hours must be longer than that
    can take. The store must be this registry's alone.
    """
    settings = load_settings(data_dir=data_dir, redis_url=redis_url)
    found = asyncio.run(_clean(settings, hours * 3600, remove=remove))
    given = ctx.find_root().obj
    if as_json or (isinstance(given, Globals) and given.as_json):
        write_json(
            [
                {"tenant": each.tenant, "entry": each.entry, "stored_at": each.stored_at}
                for each in found
            ]
        )
    else:
        _show(found, was_removed=remove)


async def _clean(settings: "Settings", grace_s: float, *, remove: bool) -> list["LeftOver"]:
    from skhost.access.record import SHARED
    from skhost.access.store import KeyStore
    from skhost.connection import connect
    from skhost.embedded import registry_url
    from skhost.keys import Keys
    from skhost.leftovers import LeftOvers
    from skhost.store import Stores

    stores = Stores(settings.store, settings.data_dir / "cache")
    found: list[LeftOver] = []
    async with registry_url(settings) as url, connect(url) as redis:
        tenants = {settings.tenant, SHARED, *(await KeyStore(redis).read()).tenants}
        for tenant in sorted(tenants):
            left = LeftOvers(redis, Keys(tenant), stores.of(tenant), grace_s)
            theirs = await left.find()
            found += await left.remove(theirs) if remove else theirs
    return found


def _show(found: list["LeftOver"], *, was_removed: bool) -> None:
    from rich.console import Console

    if not found:
        typer.echo("Nothing is left over.")
        return
    table = new_table("tenant", "entry", "stored")
    for each in found:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(each.stored_at))
        table.add_row(each.tenant, each.entry, when)
    Console().print(table)
    typer.echo("removed" if was_removed else "nothing was removed; --remove does", err=True)
