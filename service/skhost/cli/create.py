"""`skhost adapters create`: an adapter from label names alone."""

from collections.abc import Sequence
from typing import Annotated

import typer

from skhost.cli.session import AsJson, CommandError, Url, session

Labels = Annotated[
    str | None, typer.Option(help="The label names, between commas: positive,negative.")
]
Described = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="NAME[=DESCRIPTION]",
        help="One label, NAME or NAME=what its texts are about; again for more of either.",
    ),
]


def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new adapter.")],
    labels: Labels = None,
    label: Described = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make an adapter from label names, without any data; training NAME makes its next version."""
    described = _described(labels, label or ())
    if not described:
        raise CommandError("name the labels: --labels positive,negative", exit_code=2)
    with session(ctx, url, as_json) as s:
        given = {one: texts for one, texts in described.items() if texts}
        found = s.client.create(name, list(described), given)
        s.show(found, lambda: f"{name}@{found['version']} answers {', '.join(found['labels'])}")


def _described(labels: str | None, each: Sequence[str]) -> dict[str, list[str]]:
    """Every label in the order given, with its descriptions."""
    from skhost.errors import InvalidRequest
    from skhost.names import parse_labels

    try:
        found: dict[str, list[str]] = {one: [] for one in parse_labels(labels)}
    except InvalidRequest as error:
        raise CommandError(error.message, exit_code=2) from error
    for one in each:
        label, equals, text = one.partition("=")
        texts = found.setdefault(label.strip(), [])
        if equals:
            texts.append(text.strip())
    return found
