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
        Path, typer.Argument(help="CSV, TSV, JSON Lines, JSON or Parquet; each also gzipped.")
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
    transform: Annotated[str | None, typer.Option(rich_help_panel=ADVANCED)] = None,
    rank: Annotated[int | None, typer.Option(rich_help_panel=ADVANCED)] = None,
    epochs: Annotated[int | None, typer.Option(rich_help_panel=ADVANCED)] = None,
    batch_size: Annotated[int | None, typer.Option(rich_help_panel=ADVANCED)] = None,
    learning_rate: Annotated[float | None, typer.Option(rich_help_panel=ADVANCED)] = None,
    max_length: Annotated[int | None, typer.Option(rich_help_panel=ADVANCED)] = None,
    seed: Annotated[int | None, typer.Option(rich_help_panel=ADVANCED)] = None,
    text_column: Annotated[str | None, typer.Option(rich_help_panel=COLUMNS)] = None,
    label_column: Annotated[str | None, typer.Option(rich_help_panel=COLUMNS)] = None,
    pair_column: Annotated[str | None, typer.Option(rich_help_panel=COLUMNS)] = None,
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
    *("text_column", "label_column", "pair_column"),
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
    dataset = job.get("dataset") or {}
    s.err.print(f"job {job['id']}: training {job['name']}", highlight=False)
    for warning in dataset.get("warnings", ()):
        s.err.print(f"  {warning}", markup=False, highlight=False)
