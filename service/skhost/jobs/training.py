"""The work of a training process: upload to dataset, to adapter, to a judged and published version.

Everything that takes long runs on one thread, which is the only one that touches torch.
"""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from skhost import processors
from skhost.catalog import Catalog
from skhost.errors import AdapterNotFound, Conflict
from skhost.jobs.checkpoints import SAVE_EVERY_S, Checkpoints
from skhost.jobs.contest import Contest
from skhost.jobs.context import Context
from skhost.jobs.gate import Verdict
from skhost.jobs.ledger import StaleClaim
from skhost.jobs.rows import RowSet
from skhost.names import DEFAULT_ALIAS
from skhost.records import AdapterRecord, VersionRecord, VersionState
from skhost.store import ArtifactStore, rows_ref
from skhost.uploads import ReadResult, read_dataset
from sktuning import artifact
from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.data import Dataset
from sktuning.errors import TrainingCancelled
from sktuning.evaluate import scalars
from sktuning.training.progress import TrainedAdapter
from sktuning.training.trainer import Trainer

T = TypeVar("T")


class Training:
    """One attempt's work; see `skhost.jobs.attempt.Work` for its stages."""

    def __init__(self, context: Context) -> None:
        settings, job = context.settings, context.job
        self._context = context
        self._job = job
        self._store = ArtifactStore(settings.store, settings.tenant, settings.data_dir / "cache")
        self._catalog = Catalog(context.redis, context.keys)
        self._checkpoints = Checkpoints(settings, self._store, job.id, job.fence)
        self._folder = settings.data_dir / "training" / job.id
        self._thread = ThreadPoolExecutor(1, "skhost-train")
        self._published: VersionRecord | None = None
        self._dataset: Dataset
        self._base: FrozenBase
        self._trained: TrainedAdapter
        self._digest: str
        self._verdict: Verdict

    async def validate(self) -> dict[str, Any]:
        """Read the upload, unless an earlier attempt came as far as publishing."""
        record = await self._record()
        versions = () if record is None else record.versions
        self._published = next((v for v in versions if v.job_id == self._job.id), None)
        if self._published is not None:
            return self._job.dataset or {}
        result = await self._on_thread(self._read)
        self._dataset = result.dataset
        return result.report.to_dict()

    async def train(self) -> None:
        """Train from the newest checkpoint on."""
        if self._published is None:
            await self._on_thread(self._train)

    async def evaluate(self) -> None:
        """Store the artifact and let it compete with what answers now."""
        if self._published is not None:
            return
        self._digest = await self._on_thread(self._save)
        contest = Contest(self._store, Classifier(self._base), self._trained, self._dataset)
        record, gate = await self._record(), self._job.request.gate
        self._verdict = await self._on_thread(lambda: contest.decide(gate, record))

    async def publish(self, token: int) -> dict[str, Any]:
        """Make the artifact a version, or find that an earlier attempt has."""
        if self._published is not None:
            return _result(self._published, {})
        adapter, verdict = self._trained.adapter, self._verdict
        try:
            record = await self._catalog.publish(
                self._job.name,
                self._digest,
                base=adapter.config.base,
                task=adapter.config.task,
                labels=adapter.config.labels,
                nbytes=adapter.nbytes,
                metrics=scalars(self._trained.metrics),
                job_id=self._job.id,
                promote_to=DEFAULT_ALIAS if verdict.promote else None,
                note=verdict.note,
                publish_token=self._job.id,
                fence=token,
            )
        except Conflict as error:
            raise StaleClaim(error.message) from error
        await self._on_thread(lambda: self._store.keep(self._folder / "artifact", self._digest))
        return _result(record, self._report())

    def clear(self) -> None:
        """Remove checkpoint, upload and work files: nobody will go on from here."""
        self._checkpoints.clear()
        shutil.rmtree(self._folder, ignore_errors=True)
        for upload in self._job.uploads:
            self._store.remove(upload.ref)

    async def _record(self) -> AdapterRecord | None:
        try:
            return await self._catalog.get(self._job.name)
        except AdapterNotFound:
            return None

    async def _on_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _read(self) -> ReadResult:
        self._folder.mkdir(parents=True, exist_ok=True)
        uploads = {upload.role: upload for upload in self._job.uploads}
        paths = {
            role: self._store.get_file(upload.ref, self._folder / role)
            for role, upload in uploads.items()
        }
        return read_dataset(
            paths["train"],
            self._job.request.reading(),
            held_out=paths.get("held_out"),
            filename=uploads["train"].filename,
            held_out_filename=uploads["held_out"].filename if "held_out" in uploads else None,
        )

    def _train(self) -> None:
        settings, line = self._context.settings, self._context.line
        torch.set_num_threads(settings.worker_threads or processors.available())
        self._base = FrozenBase.load(settings.base, device=settings.device, dtype=settings.dtype)
        self._checkpoints.fetch()
        trainer = self._trainer()
        line.begin(trainer.resumed_from)
        try:
            for progress in trainer.run():
                line.progress(progress.to_dict())
                self._checkpoints.mirror()
        except TrainingCancelled:
            self._checkpoints.mirror(at_once=True)
            raise
        self._trained = trainer.finish()

    def _trainer(self) -> Trainer:
        spec = self._job.request.spec
        every_s = min(spec.training.checkpoint_every_s, SAVE_EVERY_S)
        training = replace(spec.training, checkpoint_every_s=every_s)
        return Trainer(
            self._base,
            self._dataset,
            replace(spec, training=training),
            checkpoint_dir=self._checkpoints.path,
            should_stop=self._context.line.should_stop,
        )

    def _save(self) -> str:
        """Put the artifact, and what it was trained on, into the store; returns its digest."""
        folder = self._folder / "artifact"
        digest = artifact.save(folder, self._trained)
        self._store.put(folder, digest)
        rows = self._folder / "rows"
        rows.mkdir(exist_ok=True)
        (rows / "rows.bin").write_bytes(RowSet.of(self._dataset.train).to_bytes())
        self._store.put_tree(rows, rows_ref(self._job.id), fence=self._job.fence)
        return digest

    def _report(self) -> dict[str, Any]:
        trained, folder = self._trained, self._folder / "artifact"
        return {
            "metrics": dict(trained.metrics),
            "main_metric": trained.main_metric,
            "main_score": trained.main_score,
            "gate": self._verdict.figures,
            "note": self._verdict.note,
            "class_weights": dict(trained.class_weights),
            "num_trainable": trained.num_trainable,
            "num_train": trained.num_train,
            "num_held_out": trained.num_held_out,
            "num_truncated": trained.num_truncated,
            "num_steps": trained.num_steps,
            "kept_step": trained.kept_step,
            "seconds": trained.seconds,
            "artifact_bytes": sum(file.stat().st_size for file in _files(folder)),
        }


def _result(record: VersionRecord, report: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": record.version,
        "digest": record.digest,
        "promoted": record.state is VersionState.LIVE,
        "metrics": dict(record.metrics),
        "note": record.note,
        "nbytes": record.nbytes,
        **report,
    }


def _files(folder: Path) -> Sequence[Path]:
    return [path for path in folder.iterdir() if path.is_file()]
