"""`skhost classify`: texts from the command line, a file or standard input."""

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from skhost.cli.session import AsJson, CommandError, Session, Url, new_table, session, write_json

BATCH = 64  # texts a request


def classify(
    ctx: typer.Context,
    adapter: Annotated[
        str, typer.Option("--adapter", "-a", help="NAME, NAME@VERSION or NAME@ALIAS.")
    ],
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT...", help="Texts; without any, one a line from stdin."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A file with one text a line.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Show at most so many labels.")] = None,
    threshold: Annotated[float | None, typer.Option(help="A probability.")] = None,
    max_risk: Annotated[
        float | None,
        typer.Option(help="Acceptable share of wrong answers; less sure ones are marked."),
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Classify texts; with --json, one JSON object a text and line."""
    options: dict[str, Any] = {"top_k": top_k, "threshold": threshold, "max_risk": max_risk}
    with session(ctx, url, as_json) as s:
        num_failed = sum(
            _show(s, batch, s.client.classify(adapter, texts=batch, **options))
            for batch in _batches(_texts(texts, file))
        )
    if num_failed:
        raise CommandError(f"{num_failed} texts could not be classified; the lines above say why")


def _texts(texts: list[str] | None, file: Path | None) -> Iterable[str]:
    if texts and file:
        raise CommandError("give either TEXT or --file, not both", exit_code=2)
    if texts:
        return texts
    if file is not None:
        return _lines_of(file)
    if sys.stdin.isatty():
        raise CommandError("no text: give TEXT, --file FILE, or lines on stdin", exit_code=2)
    return (line.rstrip("\n") for line in sys.stdin if line.strip())


def _lines_of(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="utf-8") as lines:
            yield from (line.rstrip("\n") for line in lines if line.strip())
    except UnicodeDecodeError as error:
        raise CommandError(f"{file} is not a UTF-8 text file: {error.reason}") from error


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(texts)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def _show(s: Session, texts: list[str], answer: dict[str, Any]) -> int:
    """Show the answers; how many of them are errors."""
    results = answer["results"]
    if s.as_json:
        for text, result in zip(texts, results, strict=True):
            write_json(
                {"text": text, "adapter": answer["adapter"], "version": answer["version"], **result}
            )
    else:
        s.out.print(_table(texts, answer))
    return len([result for result in results if "error" in result])


def _table(texts: list[str], answer: dict[str, Any]) -> Table:
    title = f"{answer['adapter']}@{answer['version']}"
    table = new_table("text", "answer", "score", title=title)
    for text, result in zip(texts, answer["results"], strict=True):
        table.add_row(_plain(text), _plain(answer_of(result)), score_of(result))
    return table


def answer_of(result: dict[str, Any]) -> str:
    """One item's answer in words."""
    if "error" in result:
        return f"error: {result['error']['message']}"
    if "label" in result:
        return str(result["label"]) + (" (unsure)" if result.get("abstain") else "")
    if "labels" in result:
        return ", ".join(result["labels"]) or "–"
    if "value" in result:
        return f"{result['value']:.4f}"
    return ", ".join(f"{e['text']} ({e['label']})" for e in result["entities"]) or "–"


def score_of(result: dict[str, Any]) -> str:
    """One item's score, where it has a single one."""
    return f"{result['score']:.3f}" if "score" in result else ""


def _plain(text: str, width: int = 100) -> str:
    """Text that rich shows as it is: cut, and without its markup."""
    cut = text if len(text) <= width else text[: width - 1] + "…"
    return escape(cut)
