"""PEFT checkpoints to artifacts and back; what computes does so on the device's thread."""

import asyncio
from pathlib import Path

from skhost.errors import ArtifactRefused, Conflict
from skhost.runner import Runner
from sktuning import artifact
from sktuning.classify import Classifier
from sktuning.errors import ArtifactError, DataError, PeftRefused
from sktuning.peft.adapting import convert
from sktuning.peft.checkpoint import read
from sktuning.peft.exporting import export
from sktuning.peft.options import ImportOptions


class Conversion:
    """Converts for the one base that this server holds."""

    def __init__(self, classifier: Classifier, runner: Runner) -> None:
        self._classifier = classifier
        self._runner = runner

    async def to_artifact(self, folder: Path, target: Path, options: ImportOptions) -> str:
        """Write the PEFT checkpoint in `folder` as an artifact; its digest.

        Raises:
            ArtifactRefused: it is broken or hostile, or cannot become an adapter; says why.
            BaseMismatch: it was trained on a base of other shapes.
            ConfigError: the options do not fit it.
        """
        try:
            checkpoint = await asyncio.to_thread(read, folder)
            made = await self._runner.call(convert, checkpoint, self._classifier, options)
            return await asyncio.to_thread(made.save, target)
        except (ArtifactError, DataError) as error:
            raise ArtifactRefused(str(error)) from error

    def to_checkpoint(self, source: Path, target: Path) -> list[str]:
        """Write the artifact in `source` as a PEFT checkpoint into `target`; its files' names.

        Raises:
            Conflict: PEFT cannot compute what the adapter does; says why.
            BaseMismatch: it belongs to another base.
            ArtifactCorrupt: the artifact is broken.
        """
        try:
            export(target, artifact.load(source), self._classifier.base)
        except PeftRefused as error:
            raise Conflict(f"this adapter cannot be a PEFT checkpoint: {error}") from error
        return sorted(path.name for path in target.iterdir())
