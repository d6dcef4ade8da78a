"""A new version against the one that answers now: brings both to the same rows, on one base."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from skhost.errors import AliasNotFound, ArtifactRefused, VersionNotFound
from skhost.jobs.gate import Contender, Live, Verdict, judge
from skhost.jobs.request import Gate
from skhost.jobs.rows import RowSet
from skhost.records import AdapterRecord, VersionRecord
from skhost.store import ArtifactStore, rows_ref
from sktuning import artifact
from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.data import Dataset, Example
from sktuning.errors import SKTuningError
from sktuning.evaluate import evaluate
from sktuning.training.progress import TrainedAdapter


class Contest:
    """Decides about one trained adapter. Synchronous, runs forwards: the torch thread's work."""

    def __init__(
        self,
        store: ArtifactStore,
        classifier: Classifier,
        trained: TrainedAdapter,
        dataset: Dataset,
    ) -> None:
        self._store = store
        self._classifier = classifier
        self._trained = trained
        self._dataset = dataset

    def decide(self, gate: Gate, record: AdapterRecord | None) -> Verdict:
        """What the gate says, given the adapter as it is now.

        Raises:
            StoreUnavailable: the live version cannot be read now.
        """
        trained = self._trained
        contender = Contender(
            config=trained.adapter.config,
            rows=RowSet.of(self._dataset.train),
            held_out=self._dataset.held_out,
            metric=trained.main_metric,
        )
        version = _live_version(record)
        if version is None or gate is not Gate.NOT_WORSE:
            live = None if version is None else Live(version.version)
            return judge(gate, contender, live, _never)
        rival, adapter = self._load(version)

        def score(rows: Sequence[Example]) -> tuple[float, float]:
            assert adapter is not None  # else the gate saw trouble and does not ask
            return self._score(trained.adapter, rows), self._score(adapter, rows)

        return judge(gate, contender, rival, score)

    def _score(self, adapter: Adapter, rows: Sequence[Example]) -> float:
        base = self._classifier.base
        metrics = evaluate(self._classifier, adapter.to(base.device, base.dtype), rows)
        return float(metrics[self._trained.main_metric])

    def _load(self, version: VersionRecord) -> tuple[Live, Adapter | None]:
        ours = self._classifier.base.identity
        if version.base.digest != ours.digest:
            trouble = f"it belongs to the base {version.base.name}, not to {ours.name}"
            return Live(version.version, trouble=trouble), None
        try:
            adapter = artifact.load(self._store.get(version.digest))
        except (SKTuningError, ArtifactRefused) as error:
            return Live(version.version, trouble=str(error)), None
        rows = self._rows_of(version)
        return Live(version.version, adapter.config, rows), adapter

    def _rows_of(self, version: VersionRecord) -> RowSet | None:
        """What it was trained on; None for an imported one."""
        if version.job_id is None:
            return None
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "rows"
            if not self._store.get_tree(rows_ref(version.job_id), target):
                return None
            return RowSet.from_bytes((target / "rows.bin").read_bytes())


def _live_version(record: AdapterRecord | None) -> VersionRecord | None:
    """What the default alias points at; None if nothing answers under the name."""
    if record is None:
        return None
    try:
        return record.select()
    except (AliasNotFound, VersionNotFound):
        return None


def _never(rows: Sequence[Example]) -> tuple[float, float]:
    raise AssertionError(f"nothing is scored here, {len(rows)} rows were given")
