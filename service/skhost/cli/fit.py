"""`skhost fit`: train without a server, in as many processes as `accelerate launch` starts."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skhost.cli import train_options as options
from skhost.cli.configuration import load_settings
from skhost.cli.serve import Base, Device
from skhost.cli.session import AsJson, Globals, write_json

if TYPE_CHECKING:
    from skhost.jobs.request import TrainRequest
    from sktuning.training.trainer import Trainer

Output = Annotated[
    Path, typer.Option("-o", "--output", help="The .tar.gz, for `skhost adapters import`.")
]


def fit(
    ctx: typer.Context,
    file: options.File,
    output: Output,
    held_out: options.HeldOut = None,
    task: options.TaskName = None,
    method: options.MethodName = None,
    prompt_text: options.PromptText = None,
    on_bad_rows: options.OnBadRows = None,
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
    base: Base = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Train an adapter from FILE here, without a server, and write it as an archive.

    `accelerate launch --num_processes 2 -m skhost fit FILE -o OUT` shares the rows of every step
    between two GPUs, `torchrun --nproc-per-node 2 -m skhost fit FILE -o OUT --device cpu` between
    two processes without; the adapter is the one that a single process makes.
    """
    from skhost.uploads import read_dataset
    from sktuning.base import FrozenBase
    from sktuning.training.processes import leave, own_device
    from sktuning.training.trainer import Trainer

    options.check_files(file, held_out)
    request = _request(ctx.params)
    settings = load_settings(base=base, device=device)
    dataset = read_dataset(file, request.reading(), held_out=held_out).dataset
    frozen = FrozenBase.load(
        settings.base, device=own_device(settings.device), dtype=settings.dtype
    )
    trainer = Trainer(frozen, dataset, request.spec)
    _run(trainer)
    if trainer.is_main:
        given = ctx.find_root().obj
        is_json = as_json or (isinstance(given, Globals) and given.as_json)
        _write(trainer, output, as_json=is_json)
    del trainer
    leave()


def _request(params: dict[str, Any]) -> "TrainRequest":
    """The options as POST /train would take them."""
    from skhost.api.train_form import TrainFields

    given = {name: str(params[name]) for name in options.FIELDS if params[name] is not None}
    return TrainFields.parse({"name": "fit", **given}).request()


def _run(trainer: "Trainer") -> None:
    """Train, and say so on the error output."""
    if trainer.is_main and trainer.num_processes > 1:
        typer.echo(f"{trainer.num_processes} processes share each step", err=True)
    for progress in trainer.run():
        if progress.metrics and trainer.is_main:
            typer.echo(f"step {progress.step} of {progress.num_steps}", err=True)


def _write(trainer: "Trainer", output: Path, *, as_json: bool) -> None:
    from skhost.archive import pack
    from sktuning import artifact

    trained = trainer.finish()
    with tempfile.TemporaryDirectory() as folder:
        digest = artifact.save(Path(folder) / "artifact", trained)
        with output.open("wb") as file:
            pack(Path(folder) / "artifact", file)
    if as_json:
        metrics = dict(trained.metrics)
        write_json({"file": str(output), "digest": digest, "metrics": metrics})
    else:
        typer.echo(f"{output}: {trained.main_metric} {trained.main_score:.4f}, {digest}")
