"""What every client command has: where the server is, and how results are shown."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table

if TYPE_CHECKING:
    from skhost.client import Client

URL_VARIABLE = "SKHOST_URL"
KEY_VARIABLE = "SKHOST_API_KEY"  # only there: a command line can be read by all
CLIENT_VARIABLES = frozenset({URL_VARIABLE, KEY_VARIABLE})
DEFAULT_URL = "http://127.0.0.1:8080"

Url = Annotated[
    str | None,
    typer.Option(
        "--url", envvar=URL_VARIABLE, help="The server.", show_default=DEFAULT_URL, metavar="URL"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON and nothing else to stdout.")]


class CommandError(Exception):
    """A command cannot do what it was asked; the message is for the user."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Globals:
    """Options given before the command."""

    url: str | None
    as_json: bool


@dataclass(frozen=True, slots=True)
class Session:
    """A client and the two streams: results on stdout, anything else on stderr."""

    client: "Client"
    as_json: bool
    out: Console
    err: Console

    def show(self, value: Any, render: Callable[[], RenderableType]) -> None:
        """The result: as JSON, or as people read it."""
        if self.as_json:
            write_json(value)
        else:
            self.out.print(render())


@contextmanager
def session(ctx: typer.Context, url: str | None, as_json: bool) -> Iterator[Session]:
    """Connect as the options say, wherever on the line they stood."""
    from skhost.client import Client  # httpx is not needed to print help

    given = ctx.find_root().obj
    assert isinstance(given, Globals)
    key = os.environ.get(KEY_VARIABLE) or None
    with Client(url or given.url or DEFAULT_URL, api_key=key) as client:
        yield Session(client, as_json or given.as_json, Console(), Console(stderr=True))


def new_table(*columns: str, title: str | None = None) -> Table:
    """A table that breaks long values instead of cutting them: output is also piped."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def write_json(value: Any) -> None:
    """One JSON value on one line of stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()
