"""The methods themselves: SK-Tuning on packed rows, the others on padded rows of a stock model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from contest.padding import Padded
from contest.stage import Stage
from sktuning.methods import make_encoder
from sktuning.rows import Hidden
from sktuning.tokens import EncodedRow


class SemanticBody:
    """SK-prefix or SK-prompt, as the configuration says, through the product's own forward."""

    def __init__(self, stage: Stage) -> None:
        self._classifier = stage.classifier
        self._config = stage.config
        self._encoder = make_encoder(stage.base, stage.semantics, stage.config)
        self.is_free = self._encoder.is_free

    def hidden(self, rows: Sequence[EncodedRow]) -> Hidden:
        """One packed forward."""
        state = self._encoder()
        return self._classifier.hidden([(row, self._config, state) for row in rows])

    def parameters(self) -> list[nn.Parameter]:
        """The transform's."""
        return list(self._encoder.parameters())

    def set_training(self, on: bool) -> None:
        """The base is frozen: it never drops out."""

    @torch.no_grad()
    def served(self) -> Mapping[str, Tensor]:
        """The materialised prompt."""
        return {"prompt": self._encoder().tensor}


class StockBody:
    """A stock model, with nothing trained in it, with something added to it, or all of it.

    Args:
        model: takes what transformers' models take.
        served: what of it serving needs.
        is_whole: whether all of it is trained: with the dropout of its configuration, and in
            mixed precision where the frozen bases are in a shorter format.
    """

    is_free = False

    def __init__(
        self,
        model: Any,
        stage: Stage,
        served: Callable[[], Mapping[str, Tensor]] = dict,
        *,
        is_whole: bool = False,
    ) -> None:
        self._model = model
        self._stage = stage
        self._served = served
        self._is_whole = is_whole

    def hidden(self, rows: Sequence[EncodedRow]) -> Hidden:
        """One padded forward."""
        batch = Padded.of(rows, self._stage.pad_id, self._stage.device)
        inputs = {"input_ids": batch.ids, "attention_mask": batch.mask}
        if self._stage.base.uses_token_types:
            inputs["token_type_ids"] = batch.type_ids
        with self._stage.autocast(self._is_whole):
            return batch.own(self._model(**inputs).last_hidden_state)

    def parameters(self) -> list[nn.Parameter]:
        """Whatever is not frozen."""
        return [p for p in self._model.parameters() if p.requires_grad]

    def set_training(self, on: bool) -> None:
        """Dropout in a frozen base would only be noise."""
        self._model.train(on and self._is_whole)

    def served(self) -> Mapping[str, Tensor]:
        """What was given."""
        return self._served()
