"""`skhost classify`: texts from the command line, a file or standard input."""

import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from skhost.cli import train_options as columns
from skhost.cli.scoring import (
    Answered,
    Batches,
    Given,
    counted,
    progress,
    score,
    write_lines,
)
from skhost.cli.session import AsJson, CommandError, Session, Url, new_table, session, write_json

BATCH = 64  # rows a table
STDIN = "-"


def classify(
    ctx: typer.Context,
    adapter: Annotated[
        str, typer.Option("--adapter", "-a", help="NAME, NAME@VERSION or NAME@ALIAS.")
    ],
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE|TEXT...",
            help="A file, `-` for stdin, or texts; without any, stdin.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            help="CSV, TSV, JSON Lines, JSON or Parquet by its name, each also gzipped; any other "
            "has one text a line.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write JSON Lines to this file.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Show at most so many labels.")] = None,
    threshold: Annotated[float | None, typer.Option(help="A probability.")] = None,
    max_risk: Annotated[
        float | None,
        typer.Option(help="Acceptable share of wrong answers; less sure ones are marked."),
    ] = None,
    text_column: columns.TextColumn = None,
    pair_column: columns.PairColumn = None,
    tokens_column: columns.TokensColumn = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Classify a file's rows, or texts; with --json or --output, one JSON object a row."""
    options: dict[str, Any] = {"top_k": top_k, "threshold": threshold, "max_risk": max_risk}
    named = {"text": text_column, "text_pair": pair_column, "tokens": tokens_column}
    batches, total = _rows(texts, file, named)
    with session(ctx, url, as_json) as s:
        is_shown = output is None and s.out.is_terminal
        with progress(s.err, total, is_hidden=is_shown) as moved:
            answers = counted(score(s, adapter, batches, options), moved)
            if output is not None:
                write_lines(answers, output)
            else:
                _show(s, answers)
    if moved.num_errors:
        where = f"{output} says why" if output else "the lines above say why"
        raise CommandError(f"{moved.num_errors:,} texts could not be classified; {where}")


def _rows(
    texts: list[str] | None, file: Path | None, named: Mapping[str, str | None]
) -> tuple[Batches, int | None]:
    """What is to be classified, and about how much there is."""
    if texts and file:
        raise CommandError("give either TEXT or --file, not both", exit_code=2)
    if texts and len(texts) == 1 and (texts[0] == STDIN or Path(texts[0]).is_file()):
        file = Path(texts[0])
    elif texts:
        return iter([[Given({"text": text}) for text in texts]]), len(texts)
    if file is None and sys.stdin.isatty():
        raise CommandError("no text: give FILE, TEXT, or lines on stdin", exit_code=2)
    from skhost.cli.inputs import batches_of, choice_of, count_rows  # reads Parquet, too

    source = None if file == Path(STDIN) else file
    return batches_of(source, choice_of(named)), count_rows(source)


def _show(s: Session, answers: Iterator[Answered]) -> None:
    """Each answer as a line of JSON, or tables of some."""
    if s.as_json:
        for given, answer in answers:
            write_json({**given.row, **answer})
        return
    while some := list(islice(answers, BATCH)):
        s.out.print(_table(some))


def _table(some: list[Answered]) -> Table:
    title = next((f"{a['adapter']}@{a['version']}" for _, a in some if "adapter" in a), None)
    table = new_table("text", "answer", "score", title=title)
    for given, answer in some:
        table.add_row(_plain(text_of(given)), _plain(answer_of(answer)), score_of(answer))
    return table


def text_of(given: Given) -> str:
    """One row as people read it."""
    row = given.row
    return str(
        row.get("text") or " | ".join(row.get("pair", ())) or " ".join(row.get("tokens", ()))
    )


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
