"""`skhost train`: upload a file, follow the training, show what came out."""

from typing import Any

import typer

from skhost.cli import train_options as options
from skhost.cli.session import AsJson, Session, Url, session, write_json


def train(
    ctx: typer.Context,
    file: options.File,
    name: options.Name,
    held_out: options.HeldOut = None,
    task: options.TaskName = None,
    method: options.MethodName = None,
    prompt_text: options.PromptText = None,
    on_bad_rows: options.OnBadRows = None,
    gate: options.GateName = None,
    detach: options.Detach = False,
    transform: options.TransformName = None,
    rank: options.Rank = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    gradient_accumulation_steps: options.Accumulation = None,
    learning_rate: options.LearningRate = None,
    max_length: options.MaxLength = None,
    class_weight: options.ClassWeightName = None,
    seed: options.Seed = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    pair_column: options.PairColumn = None,
    tokens_column: options.TokensColumn = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Train an adapter from FILE on the server and follow it; Ctrl-C detaches."""
    fields = {key: ctx.params[key] for key in (*options.FIELDS, "gate")}
    options.check_files(file, held_out)
    with session(ctx, url, as_json) as s:
        job = s.client.train(file, name, held_out=held_out, **fields)
        _report(s, job)
        if detach:
            s.show(job, lambda: f"job {job['id']} is {job['state']}")
        else:
            _follow(s, job["id"])


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
