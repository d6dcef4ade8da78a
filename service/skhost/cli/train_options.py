"""The options of `skhost train` and `skhost fit`: fields of the form behind POST /train."""

from pathlib import Path
from typing import Annotated

import typer

from skhost.cli.session import CommandError

_ADVANCED = "Hyperparameters"
_COLUMNS = "Columns"


def _advanced(text: str) -> typer.models.OptionInfo:
    info: typer.models.OptionInfo = typer.Option(help=text, rich_help_panel=_ADVANCED)
    return info


def _column(text: str) -> typer.models.OptionInfo:
    info: typer.models.OptionInfo = typer.Option(help=text, rich_help_panel=_COLUMNS)
    return info


File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="CSV, TSV, JSON Lines, JSON or Parquet; each also gzipped."
    ),
]
Name = Annotated[str, typer.Option("--name", "-n", help="The adapter.")]
HeldOut = Annotated[Path | None, typer.Option(help="Held-out rows; a part of FILE by default.")]
TaskName = Annotated[
    str | None, typer.Option(help="single-label, multi-label, regression or tokens.")
]
MethodName = Annotated[str | None, typer.Option(help="sk-prefix or sk-prompt.")]
PromptText = Annotated[
    str | None, typer.Option(help="The semantic prompt, in words; made from the labels.")
]
OnBadRows = Annotated[str | None, typer.Option(help="refuse or skip rows that cannot be used.")]
GateName = Annotated[
    str | None, typer.Option(help="When it goes live: not_worse, always or never.")
]
Detach = Annotated[bool, typer.Option("--detach", help="Do not wait for the end.")]

TransformName = Annotated[str | None, _advanced("low_rank, linear, direct or frozen.")]
Rank = Annotated[int | None, _advanced("Of the low-rank transform.")]
Epochs = Annotated[int | None, _advanced("At most; it stops early when it gets no better.")]
BatchSize = Annotated[int | None, _advanced("Rows a step.")]
Accumulation = Annotated[
    int | None, _advanced("Parts that a batch is computed in, to save memory.")
]
LearningRate = Annotated[float | None, _advanced("Of the prompt's transform.")]
MaxLength = Annotated[int | None, _advanced("Tokens a row; longer ones are cut.")]
ClassWeightName = Annotated[
    str | None, _advanced("Of rare labels in the loss: auto, none or balanced.")
]
Seed = Annotated[int | None, _advanced("Of everything random.")]

TextColumn = Annotated[str | None, _column("The texts; the first of a pair.")]
PairColumn = Annotated[str | None, _column("The second texts.")]
LabelColumn = Annotated[str | None, _column("What is learned: label, labels, number or tags.")]
TokensColumn = Annotated[str | None, _column("The rows of words.")]

FIELDS = (  # of the training form, as `train` and `fit` both take them
    *("task", "method", "prompt_text", "on_bad_rows", "transform", "rank", "epochs"),
    *("batch_size", "gradient_accumulation_steps", "learning_rate", "max_length"),
    *("class_weight", "seed", "text_column", "label_column", "pair_column", "tokens_column"),
)


def check_files(file: Path, held_out: Path | None) -> None:
    """Refuse files that are not there, before anything is started.

    Raises:
        CommandError: the first that is missing.
    """
    for path in (file, *([held_out] if held_out else [])):
        if not path.is_file():
            raise CommandError(f"{path}: there is no such file", exit_code=2)
