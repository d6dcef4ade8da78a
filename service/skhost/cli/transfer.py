"""`skhost adapters export` and `import`: adapters as files."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from skhost.cli.session import AsJson, CommandError, Url, session

_PEFT_ONLY = "PEFT checkpoints"
Ref = Annotated[str, typer.Argument(metavar="REF", help="NAME, NAME@VERSION or NAME@ALIAS.")]
Source = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="A .tar.gz of `adapters export` or of a PEFT checkpoint, or a checkpoint's folder.",
    ),
]


def export(
    ctx: typer.Context,
    ref: Ref,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file.")] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="`peft` makes a checkpoint that PEFT loads.")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Write an adapter to a .tar.gz that another server imports."""
    target = output or Path(f"{ref.replace('@', '-')}.tar.gz")
    with session(ctx, url, as_json) as s:
        digest = s.client.export(ref, target, format=form)
        result = {"file": str(target), "bytes": target.stat().st_size, "digest": digest}
        s.show(result, lambda: f"{target}: {result['bytes']:,} bytes, {digest}")


def import_archive(
    ctx: typer.Context,
    archive: Source,
    name: Annotated[str, typer.Option("--name", help="The adapter that it becomes part of.")],
    labels: Annotated[
        str | None,
        typer.Option(
            help="The label names, in the order of the outputs: no,yes.",
            rich_help_panel=_PEFT_ONLY,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="single-label, multi-label or regression.", rich_help_panel=_PEFT_ONLY),
    ] = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="It reads pairs of texts.", rich_help_panel=_PEFT_ONLY)
    ] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Publish an exported adapter, or a PEFT checkpoint, as the next version of NAME."""
    with session(ctx, url, as_json) as s, _as_archive(archive) as path:
        found = s.client.import_archive(name, path, labels=labels, task=task, pairs=pairs or None)
        s.show(found, lambda: f"{name}@{found['version']} is {found['digest']}")


@contextmanager
def _as_archive(source: Path) -> Iterator[Path]:
    """The file itself, or the files of a checkpoint's folder that a server reads, packed."""
    if not source.is_dir():
        yield source
        return
    from skhost.archive import pack_files
    from sktuning.manifest import CARD, CONFIG, MODEL
    from sktuning.peft.declaration import PICKLED, PICKLED_REASON

    if not (source / MODEL).exists() and any((source / name).exists() for name in PICKLED):
        raise CommandError(f"{source}: {PICKLED_REASON}")
    names = [name for name in (CONFIG, MODEL, CARD) if (source / name).is_file()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.tar.gz"
        with path.open("wb") as file:
            pack_files(source, names, file)
        yield path
