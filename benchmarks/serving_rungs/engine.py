"""The engine in process: what the device thread does with a batch, adapters and heads included."""

from collections.abc import Iterator, Mapping, Sequence

import torch

from serving_rungs.loads import Load
from serving_rungs.rung import Entrant, Setting
from sktuning.adapter import Adapter
from sktuning.packed import pack
from sktuning.rows import Row
from sktuning.tokens import EncodedRow

Batch = Sequence[tuple[EncodedRow, Adapter]]


def entrants(setting: Setting) -> Iterator[Entrant]:
    """One a load."""
    for load in setting.loads:
        yield _entrant(setting, load)


def _entrant(setting: Setting, load: Load) -> Entrant:
    batches = [
        [(row, setting.adapters[i]) for row, i in zip(rows, load.draw(len(rows), at), strict=True)]
        for at, rows in enumerate(setting.batches)
    ]

    def run(number: int) -> None:
        setting.classifier.logits(batches[number])

    def extra(number: int) -> Mapping[str, float]:
        return {
            "adapters_a_batch": len({id(adapter) for _, adapter in batches[number]}),
            "padding": padding(batches[number]),
        }

    fields = {"rung": "engine", "adapters": load.adapters, "pattern": load.pattern.value}
    return Entrant(fields, run, extra)


def padding(batch: Batch) -> float:
    """The share of attention's queries that are padding; nothing else is padded."""
    rows = [Row(row.ids, row.type_ids, adapter.state) for row, adapter in batch]
    buckets = pack(rows, torch.device("cpu")).buckets
    places = sum(bucket.query_valid.numel() for bucket in buckets)
    return 1 - sum(int(bucket.query_valid.sum()) for bucket in buckets) / places
