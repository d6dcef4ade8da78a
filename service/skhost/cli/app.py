"""All commands and the options that come before them."""

from collections.abc import Callable
from typing import Any

import typer

from skhost.cli import adapters, jobs, keys, serve
from skhost.cli.classify import classify
from skhost.cli.clean import clean
from skhost.cli.fit import fit
from skhost.cli.session import AsJson, Globals, Url, write_json
from skhost.cli.train import train

SERVER = "Run"
CLIENT = "Use a server"


def build() -> Callable[..., Any]:
    """The command line as one callable."""
    app = typer.Typer(
        name="skhost",
        help="Many text classifiers on one frozen base model: train from a file, serve at once.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(global_options)
    app.command(rich_help_panel=SERVER)(serve.up)
    app.command(rich_help_panel=SERVER)(serve.serve)
    app.command(rich_help_panel=SERVER)(serve.worker)
    app.command(rich_help_panel=SERVER)(fit)
    app.add_typer(keys.group(), name="keys", rich_help_panel=SERVER)
    app.command(rich_help_panel=SERVER)(clean)
    app.command(rich_help_panel=CLIENT)(train)
    app.command(rich_help_panel=CLIENT)(classify)
    app.add_typer(adapters.group(), name="adapters", rich_help_panel=CLIENT)
    app.add_typer(jobs.group(), name="jobs", rich_help_panel=CLIENT)
    app.command(rich_help_panel=CLIENT)(version)
    return typer.main.get_command(app)


def global_options(ctx: typer.Context, url: Url = None, as_json: AsJson = False) -> None:
    """Many text classifiers on one frozen base model: train from a file, serve at once."""
    ctx.obj = Globals(url, as_json)


def version(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Print the version."""
    from skhost import __version__

    given = ctx.find_root().obj
    if as_json or (isinstance(given, Globals) and given.as_json):
        write_json({"version": __version__})
    else:
        typer.echo(f"skhost {__version__}")
