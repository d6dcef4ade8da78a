"""How good a contender's answers are; the same measure for all, through each one's own forward."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from contest.contender import Contender
from sktuning.calibration import calibrate
from sktuning.classify import split_by_row
from sktuning.config import AdapterConfig, Task
from sktuning.data import Example, Target
from sktuning.decode import Array
from sktuning.logits import batches
from sktuning.metrics import score
from sktuning.tokens import EncodedRow, Encoder
from sktuning.training.objective import Scale

BATCH_TOKENS = 2048  # far less memory than a training step takes, so it does not show in the peak


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """Rows with what should be answered, encoded once.

    Attributes:
        scale: what regression's answers are put back to their unit by.
        metric: the name of the one number.
    """

    config: AdapterConfig
    rows: Sequence[EncodedRow]
    targets: Sequence[Target]
    scale: Scale
    metric: str

    @classmethod
    def of(
        cls,
        config: AdapterConfig,
        encoder: Encoder,
        examples: Sequence[Example],
        scale: Scale,
        metric: str,
        max_length: int,
    ) -> "Judge":
        """Rows that cannot be read are left out, for every method alike."""
        encoded = encoder.encode([e.input for e in examples], config, max_length=max_length)
        pairs = zip(encoded, examples, strict=True)
        kept = [(row, e.target) for row, e in pairs if isinstance(row, EncodedRow)]
        return cls(config, [row for row, _ in kept], [t for _, t in kept], scale, metric)

    def score(self, contender: Contender, thresholds_by: "Judge | None" = None) -> float:
        """The metric of the contender's answers.

        Args:
            thresholds_by: held-out rows that choose a multi-label task's thresholds.
        """
        config = self.config
        if thresholds_by is not None and config.task is Task.MULTI_LABEL:
            held_out = thresholds_by.answers(contender)
            config, _ = calibrate(config, held_out, thresholds_by.targets)
        return float(score(config, self.answers(contender), self.targets)[self.metric])

    @torch.no_grad()
    def answers(self, contender: Contender) -> list[Array]:
        """Logits a row, in the order of the rows."""
        found: dict[int, Array] = {}
        for batch in batches([len(row) for row in self.rows], BATCH_TOKENS):
            rows = [self.rows[i] for i in batch]
            logits = contender.logits(rows).float().cpu()
            values = (logits * self.scale.deviation + self.scale.mean).numpy()
            found.update(zip(batch, split_by_row(values, rows, self.config), strict=True))
        return [found[i] for i in range(len(self.rows))]
