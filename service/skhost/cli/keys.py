"""`skhost keys …`: who may use a server. Speaks to Redis or Valkey, not to a server."""

import asyncio
import getpass
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.table import Table

from skhost.access.record import KeyRecord, Quotas, Scope, check_rate
from skhost.access.token import Token, new_token
from skhost.cli.configuration import load_settings
from skhost.cli.session import AsJson, CommandError, Globals, new_table, write_json

if TYPE_CHECKING:
    from skhost.access.store import KeyStore

Returned = TypeVar("Returned")
DAY_S = 86_400.0

KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id: skh_ID_….")]
DataDir = Annotated[
    Path | None, typer.Option(help="Where an embedded registry is (SKHOST_DATA_DIR).")
]
Requests = Annotated[str | None, typer.Option(help="At most so many, such as 600/minute.")]
Tokens = Annotated[str | None, typer.Option(help="At most so many, such as 1000000/day.")]
RedisUrl = Annotated[str | None, typer.Option(help="Redis or Valkey (SKHOST_REDIS_URL).")]


def group() -> typer.Typer:
    """The commands as one group."""
    app = typer.Typer(help="Make, list, rotate and revoke API keys.", no_args_is_help=True)
    app.command("create")(create)
    app.command("ls")(list_keys)
    app.command("rotate")(rotate)
    app.command("revoke")(revoke)
    app.command("limit")(limit)
    app.command("new")(new)
    return app


def create(
    ctx: typer.Context,
    scope: Annotated[
        list[Scope], typer.Option(help="What it may do; may be given again. admin includes all.")
    ],
    tenant: Annotated[
        str | None, typer.Option(help="Whose adapters and jobs it sees; SKHOST_TENANT by default.")
    ] = None,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    days: Annotated[float | None, typer.Option(help="It expires after so many.", min=0)] = None,
    requests: Requests = None,
    tokens: Tokens = None,
    data_dir: DataDir = None,
    redis_url: RedisUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a key; it is shown once and never again."""
    expires_at = None if days is None else time.time() + days * DAY_S
    settings = load_settings(tenant=tenant)
    quotas = _quotas(requests, tokens)

    async def work(store: "KeyStore") -> tuple[Token, KeyRecord]:
        return await store.create(
            settings.tenant, scope, name=name, by=_me(), expires_at=expires_at, quotas=quotas
        )

    _show_new(ctx, *_run(work, data_dir, redis_url), as_json)


def list_keys(
    ctx: typer.Context,
    data_dir: DataDir = None,
    redis_url: RedisUrl = None,
    as_json: AsJson = False,
) -> None:
    """List all keys, also those that open nothing any more."""
    keys = [record.to_dict() for record in _run(lambda store: store.list(), data_dir, redis_url)]
    _show(ctx, as_json, keys, lambda: _table(keys))


def rotate(
    ctx: typer.Context,
    key_id: KeyId,
    keep_hours: Annotated[
        float, typer.Option(help="The old key still works for so long.", min=0)
    ] = 24.0,
    data_dir: DataDir = None,
    redis_url: RedisUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a key like another one, which expires."""

    async def work(store: "KeyStore") -> tuple[Token, KeyRecord]:
        return await store.rotate(key_id, keep_hours * 3600, _me())

    _show_new(ctx, *_run(work, data_dir, redis_url), as_json)


def revoke(
    ctx: typer.Context,
    key_id: KeyId,
    data_dir: DataDir = None,
    redis_url: RedisUrl = None,
    as_json: AsJson = False,
) -> None:
    """End a key; servers refuse it within a second."""
    record = _run(lambda store: store.revoke(key_id), data_dir, redis_url)
    _show(ctx, as_json, record.to_dict(), lambda: f"key {key_id} is revoked")


def limit(
    ctx: typer.Context,
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Whose keys, taken together.")],
    requests: Requests = None,
    tokens: Tokens = None,
    data_dir: DataDir = None,
    redis_url: RedisUrl = None,
    as_json: AsJson = False,
) -> None:
    """Bound what all keys of a tenant may use together; without a bound, the servers' own."""
    tenant, quotas = load_settings(tenant=tenant).tenant, _quotas(requests, tokens)
    _run(lambda store: store.limit_tenant(tenant, quotas), data_dir, redis_url)
    _show(ctx, as_json, {"tenant": tenant, **quotas.to_dict()}, lambda: f"{tenant} is bounded now")


def new(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Print a key that no server knows yet, for SKHOST_ADMIN_KEY, and the form that hides it."""
    token = new_token()
    hidden = f"skh_{token.id}_sha256:{token.hash}"
    _show(ctx, as_json, {"key": token.text, "hashed": hidden}, lambda: f"{token.text}\n{hidden}")


def _run(
    work: Callable[["KeyStore"], Awaitable[Returned]], data_dir: Path | None, redis_url: str | None
) -> Returned:
    from skhost.access.store import KeyStore
    from skhost.connection import connect
    from skhost.embedded import registry_url

    settings = load_settings(data_dir=data_dir, redis_url=redis_url)

    async def run() -> Returned:
        async with registry_url(settings) as url, connect(url) as redis:
            return await work(KeyStore(redis))

    return asyncio.run(run())


def _quotas(requests: str | None, tokens: str | None) -> Quotas:
    try:
        return Quotas(check_rate(requests), check_rate(tokens))
    except ValueError as error:
        raise CommandError(str(error), exit_code=2) from error


def _me() -> str:
    """Who makes a key, for the record."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a container's user has no name
        return socket.gethostname()


def _show_new(ctx: typer.Context, token: Token, record: KeyRecord, as_json: bool) -> None:
    _show(ctx, as_json, {"key": token.text, **record.to_dict()}, lambda: token.text)
    typer.echo(f"key {record.id} of tenant {record.tenant}: it is not shown again", err=True)


def _show(ctx: typer.Context, as_json: bool, value: Any, render: Callable[[], Any]) -> None:
    from rich.console import Console

    given = ctx.find_root().obj
    if as_json or (isinstance(given, Globals) and given.as_json):
        write_json(value)
    elif isinstance(shown := render(), str):
        typer.echo(shown)
    else:
        Console().print(shown)


def _table(keys: list[dict[str, Any]]) -> Table | str:
    if not keys:
        return "There are no keys; `skhost keys create --scope admin` makes one."
    table = new_table("key", "tenant", "scopes", "state", "made", "expires", "name")
    for key in keys:
        table.add_row(
            key["id"],
            key["tenant"],
            ", ".join(key["scopes"]),
            key["state"],
            _day(key["created_at"]),
            _day(key["expires_at"]),
            key["name"],
        )
    return table


def _day(at: float | None) -> str:
    return "" if at is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
