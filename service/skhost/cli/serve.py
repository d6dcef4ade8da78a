"""`up`, `serve` and `worker`: the commands that run something. torch is imported only here."""

import asyncio
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skhost.cli.configuration import load_settings
from skhost.cli.session import CommandError, Globals, write_json
from skhost.exits import CANNOT_START, DEVICE_FAILED, TRY_LATER, leave
from skhost.onednn import keep_fewer_products

if TYPE_CHECKING:
    from fastapi import FastAPI

    from skhost.settings import Settings

Host = Annotated[str | None, typer.Option(help="Address to listen on (SKHOST_HOST).")]
Port = Annotated[
    int | None, typer.Option(help="Port to listen on; 0 takes a free one (SKHOST_PORT).")
]
DataDir = Annotated[
    Path | None, typer.Option(help="Where everything local is kept (SKHOST_DATA_DIR).")
]
RedisUrl = Annotated[
    str | None, typer.Option(help="Redis or Valkey (SKHOST_REDIS_URL); embedded by default.")
]
Base = Annotated[
    str | None,
    typer.Option(help="Base model: folder, GGUF file or Hugging Face id (SKHOST_BASE)."),
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N (SKHOST_DEVICE).")]
UrlAsJson = Annotated[bool, typer.Option("--json", help="Write the URL as one line of JSON.")]
Parent = Annotated[int | None, typer.Option(hidden=True, help="End when this process does.")]
ListenerFd = Annotated[int | None, typer.Option(hidden=True, help="A listening socket.")]


def up(
    ctx: typer.Context,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    redis_url: RedisUrl = None,
    base: Base = None,
    device: Device = None,
    as_json: UrlAsJson = False,
) -> None:
    """Run everything: the server, a training worker and, unless one is given, the registry."""
    from skhost import server

    settings = load_settings(
        host=host, port=port, data_dir=data_dir, redis_url=redis_url, base=base, device=device
    )
    _prepare(settings, None)
    _check_has_keys(settings)
    with _bind(settings) as listener:
        _announce(ctx, server.url_of(listener), settings, as_json)
        _supervise(settings, listener)


def _supervise(settings: "Settings", listener: socket.socket) -> None:
    from skhost.embedded import registry_url
    from skhost.supervise import ChildFailed, Supervisor

    async def run() -> None:
        async with registry_url(settings) as redis_url:
            await Supervisor(settings, listener, redis_url).run()

    try:
        asyncio.run(run())
    except ChildFailed as error:
        raise CommandError(f"{error}; the log above says why") from error


def serve(
    ctx: typer.Context,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    redis_url: RedisUrl = None,
    base: Base = None,
    device: Device = None,
    as_json: UrlAsJson = False,
    fd: ListenerFd = None,
    parent: Parent = None,
) -> None:
    """Run the HTTP server alone; workers can run on other machines."""
    settings = load_settings(
        host=host, port=port, data_dir=data_dir, redis_url=redis_url, base=base, device=device
    )
    _prepare(settings, parent)
    keep_fewer_products()
    from skhost import server

    if fd is None:
        _check_has_keys(settings)
        listener = _bind(settings)
        _announce(ctx, server.url_of(listener), settings, as_json)
    else:
        listener = socket.socket(fileno=fd)
    from skhost.app import create_app

    run_server(create_app(settings), listener)


def run_server(app: "FastAPI", listener: socket.socket) -> None:
    """Serve until a signal; ends the process where the device has failed."""
    from skhost import server

    try:
        server.serve(app, listener)
    except server.CannotStart as error:
        raise CommandError(str(error), exit_code=CANNOT_START) from error
    except server.DeviceFailed as error:
        typer.echo(f"skhost: {error}", err=True)
        leave(DEVICE_FAILED)


def worker(
    data_dir: DataDir = None,
    redis_url: RedisUrl = None,
    base: Base = None,
    device: Device = None,
    parent: Parent = None,
) -> None:
    """Run a training worker; start more for more trainings at once."""
    settings = load_settings(data_dir=data_dir, redis_url=redis_url, base=base, device=device)
    _prepare(settings, parent)
    # Trainings share the processor with a server: threads that spin while they wait for each
    # other halve what a training gets done (4 against 9 steps a second at four times the load).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from redis.exceptions import RedisError

    from skhost.valkey import EmbeddedValkey
    from skhost.worker import run_worker

    if settings.redis_url is not None:
        try:
            run_worker(settings)
        except RedisError as error:  # it is gone for good, or its disk is full
            raise CommandError(
                f"the registry refuses the worker: {error}", exit_code=TRY_LATER
            ) from error
        return
    with EmbeddedValkey(settings.data_dir) as valkey:
        run_worker(settings.model_copy(update={"redis_url": valkey.url}))


def _prepare(settings: "Settings", parent: int | None) -> None:
    from skhost.logs import configure_logging
    from skhost.supervise import end_with_parent

    if parent is not None:
        end_with_parent(parent)
    configure_logging(settings.log_level, settings.log_format)
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"cannot use data directory {settings.data_dir}: {error}") from error


def _check_has_keys(settings: "Settings") -> None:
    from skhost.access.entrance import KeysNeeded, check_has_keys

    try:
        asyncio.run(check_has_keys(settings))
    except KeysNeeded as error:
        raise CommandError(error.message, exit_code=2) from error


def _bind(settings: "Settings") -> socket.socket:
    from skhost import server

    try:
        return server.bind(settings.host, settings.port)
    except server.CannotListen as error:
        raise CommandError(str(error)) from error


def _announce(ctx: typer.Context, url: str, settings: "Settings", as_json: bool) -> None:
    given = ctx.find_root().obj
    if as_json or (isinstance(given, Globals) and given.as_json):
        write_json({"url": url, "pid": os.getpid()})
    else:
        typer.echo(f"skhost starts on {url} with data in {settings.data_dir} (Ctrl-C stops it)")
