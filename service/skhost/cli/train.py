"""`skhost train`: upload a file, follow the training, show what came out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from skhost.cli.session import AsJson, CommandError, Session, Url, session, write_json

ADVANCED = "Hyperparameters"
COLUMNS = "Columns"


def train(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="CSV, TSV, JSON Lines, JSON or Parquet; each also gzipped."
        ),
    ],
    name: Annotated[str, typer.Option("--name", "-n", help="The adapter.")],
    held_out: Annotated[
        Path | None, typer.Option(help="Held-out rows; a part of FILE by default.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="single-label, multi-label, regression or tokens.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="sk-prefix or sk-prompt.")] = None,
    prompt_text: Annotated[
        str | None, typer.Option(help="The semantic prompt, in words; made from the labels.")
    ] = None,
    on_bad_rows: Annotated[
        str | None, typer.Option(help="refuse or skip rows that cannot be used.")
    ] = None,
    gate: Annotated[
        str | None, typer.Option(help="When it goes live: not_worse, always or never.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the end.")] = False,
    transform: Annotated[
        str | None,
        typer.Option(help="low_rank, linear, direct or frozen.", rich_help_panel=ADVANCED),
    ] = None,
    rank: Annotated[
        int | None, typer.Option(help="Of the low-rank transform.", rich_help_panel=ADVANCED)
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="At most; it stops early when it gets no better.", rich_help_panel=ADVANCED
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Rows a step.", rich_help_panel=ADVANCED)
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of the prompt's transform.", rich_help_panel=ADVANCED)
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(help="Tokens a row; longer ones are cut.", rich_help_panel=ADVANCED),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of everything random.", rich_help_panel=ADVANCED)
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="The texts; the first of a pair.", rich_help_panel=COLUMNS)
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(
            help="What is learned: label, labels, number or tags.", rich_help_panel=COLUMNS
        ),
    ] = None,
    pair_column: Annotated[
        str | None, typer.Option(help="The second texts.", rich_help_panel=COLUMNS)
    ] = None,
    tokens_column: Annotated[
        str | None, typer.Option(help="The rows of words.", rich_help_panel=COLUMNS)
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Train an adapter from FILE on the server and follow it; Ctrl-C detaches."""
    fields = {key: ctx.params[key] for key in _FIELDS}
    for path in (file, *([held_out] if held_out else [])):
        if not path.is_file():
            raise CommandError(f"{path}: there is no such file", exit_code=2)
    with session(ctx, url, as_json) as s:
        job = s.client.train(file, name, held_out=held_out, **fields)
        _report(s, job)
        if detach:
            s.show(job, lambda: f"job {job['id']} is {job['state']}")
        else:
            _follow(s, job["id"])


_FIELDS = (
    *("task", "method", "prompt_text", "on_bad_rows", "gate", "transform", "rank", "epochs"),
    *("batch_size", "learning_rate", "max_length", "seed"),
    *("text_column", "label_column", "pair_column", "tokens_column"),
)


def _follow(s: Session, job_id: str) -> None:
    from skhost.cli.follow import follow, result_table, verdict

    job = follow(s, job_id)
    if s.as_json:
        write_json({"event": "result", "job": job})
        return
    s.out.print(result_table(job))
    s.out.print(verdict(job), highlight=False)


def _report(s: Session, job: dict[str, Any]) -> None:
    """What was found in the file, before anything is trained on it."""
    dataset = job["dataset"]
    splits = dataset["splits"]
    lines = [
        f"job {job['id']} trains {job['name']}: {dataset['task']}, {splits['train']:,} rows to "
        f"learn from, {splits['held_out']:,} held out ({dataset['held_out_from']})",
        *(f"  {_place(problem)}{problem['message']}" for problem in dataset["problems"]),
    ]
    for line in lines:
        s.err.print(line, markup=False, highlight=False, soft_wrap=True)


def _place(problem: dict[str, Any]) -> str:
    for unit in ("line", "record"):
        if unit in problem:
            return f"{unit} {problem[unit]}: "
    return ""
