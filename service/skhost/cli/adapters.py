"""`skhost adapters …`: what is registered, what answers, and moving adapters about."""

import time
from typing import Annotated, Any

import typer
from rich.table import Table

from skhost.cli.create import create
from skhost.cli.session import AsJson, CommandError, Session, Url, new_table, session
from skhost.cli.transfer import export, import_archive

Name = Annotated[str, typer.Argument(metavar="NAME", help="The adapter.")]
VersionArgument = Annotated[int, typer.Argument(metavar="VERSION", help="The version, a number.")]
Alias = Annotated[str, typer.Option(help="The alias that moves.")]


def group() -> typer.Typer:
    """The commands as one group."""
    app = typer.Typer(help="List, make, promote, move and remove adapters.", no_args_is_help=True)
    app.command("ls")(list_adapters)
    app.command("show")(show)
    app.command("create")(create)
    app.command("promote")(promote)
    app.command("rollback")(rollback)
    app.command("alias")(alias)
    app.command("pin")(pin)
    app.command("lift")(lift)
    app.command("rm")(remove)
    app.command("export")(export)
    app.command("import")(import_archive)
    return app


def list_adapters(ctx: typer.Context, url: Url = None, as_json: AsJson = False) -> None:
    """List the adapters and where their aliases point."""
    with session(ctx, url, as_json) as s:
        found = all_adapters(s)
        s.show(found, lambda: _overview(found))


def all_adapters(s: Session) -> list[dict[str, Any]]:
    """Every adapter, page by page."""
    page = s.client.adapters()
    found: list[dict[str, Any]] = page["adapters"]
    while page["next_cursor"]:
        page = s.client.adapters(cursor=page["next_cursor"])
        found += page["adapters"]
    return found


def show(ctx: typer.Context, name: Name, url: Url = None, as_json: AsJson = False) -> None:
    """Show an adapter's versions, newest first."""
    with session(ctx, url, as_json) as s:
        found = s.client.adapter(name)
        s.show(found, lambda: _versions(found))


def promote(
    ctx: typer.Context,
    name: Name,
    version: VersionArgument,
    alias: Alias = "prod",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Let a version answer: point an alias at it."""
    with session(ctx, url, as_json) as s:
        found = s.client.promote(name, version, alias)
        s.show(found, lambda: f"{name}@{alias} is version {found['aliases'][alias]} now")


def rollback(
    ctx: typer.Context,
    name: Name,
    alias: Alias = "prod",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Point an alias back at the version before."""
    with session(ctx, url, as_json) as s:
        found = s.client.rollback(name, alias)
        s.show(found, lambda: f"{name}@{alias} is version {found['aliases'][alias]} again")


def alias(
    ctx: typer.Context,
    name: Name,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="The alias.")],
    version: Annotated[
        int | None, typer.Argument(metavar="VERSION", help="The version it is to name.")
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Remove the alias.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Set an alias to a version, or remove it."""
    if delete == (version is not None):
        raise CommandError("give either a VERSION or --delete", exit_code=2)
    with session(ctx, url, as_json) as s:
        if version is None:
            s.client.delete_alias(name, alias)
            s.show({"deleted": f"{name}@{alias}"}, lambda: f"{name}@{alias} is gone")
        else:
            found = s.client.set_alias(name, alias, version)
            s.show(found, lambda: f"{name}@{alias} is version {version} now")


def pin(
    ctx: typer.Context,
    name: Name,
    off: Annotated[bool, typer.Option("--off", help="Let it come and go again.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Keep an adapter in memory on every server."""
    with session(ctx, url, as_json) as s:
        found = s.client.pin(name, is_pinned=not off)
        says = "comes and goes with its use" if off else "stays in memory"
        s.show(found, lambda: f"{name} {says}")


def lift(
    ctx: typer.Context,
    name: Name,
    version: VersionArgument,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Let a version answer again that servers had put into quarantine."""
    with session(ctx, url, as_json) as s:
        found = s.client.lift(name, version)
        s.show(found, lambda: f"version {version} of {name} is in quarantine no more")


def remove(
    ctx: typer.Context,
    ref: Annotated[
        str, typer.Argument(metavar="REF", help="NAME for all of it, NAME@VERSION for one version.")
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Remove an adapter, or one version of it."""
    if not yes and not typer.confirm(f"Remove {ref}?", err=True):
        raise CommandError("nothing was removed")
    with session(ctx, url, as_json) as s:
        s.client.delete(ref)
        s.show({"deleted": ref}, lambda: f"{ref} is removed")


def _overview(adapters: list[dict[str, Any]]) -> Table | str:
    if not adapters:
        return "There are no adapters yet; `skhost train FILE --name NAME` makes one."
    table = new_table("adapter", "versions", "aliases", "task", "labels")
    for adapter in adapters:
        newest = adapter["versions"][-1]
        aliases = ", ".join(f"{alias}→{v}" for alias, v in sorted(adapter["aliases"].items()))
        labels = _shortened(newest["labels"])
        table.add_row(
            adapter["name"], str(len(adapter["versions"])), aliases, newest["task"], labels
        )
    return table


def _versions(adapter: dict[str, Any]) -> Table:
    table = new_table("version", "state", "aliases", "made", "bytes", "digest", "note")
    for version in sorted(adapter["versions"], key=lambda v: -v["version"]):
        aliases = [a for a, number in adapter["aliases"].items() if number == version["version"]]
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(version["created_at"]))
        table.add_row(
            str(version["version"]),
            version["state"],
            ", ".join(sorted(aliases)),
            made,
            f"{version['nbytes']:,}",
            version["digest"][:19],
            version["quarantine"] or version["note"] or "",
        )
    return table


def _shortened(labels: list[str], shown: int = 4) -> str:
    more = f", … ({len(labels)})" if len(labels) > shown else ""
    return ", ".join(labels[:shown]) + more
