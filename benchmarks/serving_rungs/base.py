"""The base's own forward: the packed batch through the frozen model, no adapters and no heads."""

from collections.abc import Iterator

import torch

from serving_rungs.rung import Entrant, Setting
from sktuning.rows import Row


def entrants(setting: Setting) -> Iterator[Entrant]:
    """One: the packed forward over rows without a prompt."""

    @torch.inference_mode()
    def run(number: int) -> None:
        rows = [Row(row.ids, row.type_ids) for row in setting.batches[number]]
        setting.classifier.base.forward(rows)

    yield Entrant({"rung": "base"}, run)
