"""PEFT's prompt methods: virtual tokens in front of padded rows of the stock model."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from peft import PeftModelForFeatureExtraction, PromptLearningConfig, get_peft_model_state_dict
from torch import Tensor, nn

from contest.padding import Padded
from contest.stage import Stage
from sktuning.rows import Hidden
from sktuning.tokens import EncodedRow


class VirtualBody:
    """PREFIX_TUNING, PROMPT_TUNING or P_TUNING.

    The forward is that of PEFT's model for feature extraction, but for token types: that one takes
    them away, and pairs of texts need them.

    Args:
        config: PEFT's, with the number of virtual tokens.
    """

    is_free = False

    def __init__(self, stage: Stage, config: PromptLearningConfig) -> None:
        self._stage = stage
        self._model = stage.stock()
        self.peft = PeftModelForFeatureExtraction(self._model, config).eval()
        self._length = int(config.num_virtual_tokens)
        self._is_prefix = config.peft_type == "PREFIX_TUNING"

    def hidden(self, rows: Sequence[EncodedRow]) -> Hidden:
        """One padded forward; the virtual tokens' own states are left out."""
        batch = Padded.of(rows, self._stage.pad_id, self._stage.device)
        inputs = self._in_cache(batch) if self._is_prefix else self._in_row(batch)
        inputs["attention_mask"] = batch.mask_behind(self._length)
        states = self._model(**inputs).last_hidden_state
        return batch.own(states[:, -batch.ids.shape[1] :])

    def parameters(self) -> list[nn.Parameter]:
        """The virtual tokens', and those of what makes them."""
        return [p for p in self.peft.parameters() if p.requires_grad]

    def set_training(self, on: bool) -> None:
        """The base is frozen: it never drops out."""

    def served(self) -> Mapping[str, Tensor]:
        """As PEFT saves it."""
        state: dict[str, Tensor] = get_peft_model_state_dict(self.peft)
        return state

    @torch.no_grad()
    def start_from(self, embeds: Tensor) -> None:
        """Give the virtual tokens these embeddings, (P, E)."""
        self.peft.prompt_encoder["default"].embedding.weight.copy_(embeds)

    def _in_cache(self, batch: Padded) -> dict[str, Any]:
        prompt = self.peft.get_prompt(len(batch.ids))
        return self._typed({"input_ids": batch.ids, "past_key_values": prompt}, batch.type_ids)

    def _in_row(self, batch: Padded) -> dict[str, Any]:
        own = self.peft.word_embeddings(batch.ids)
        prompt = self.peft.get_prompt(len(batch.ids)).to(own.dtype)
        types = nn.functional.pad(batch.type_ids, (self._length, 0))
        return self._typed({"inputs_embeds": torch.cat([prompt, own], dim=1)}, types)

    def _typed(self, inputs: dict[str, Any], types: Tensor) -> dict[str, Any]:
        return {**inputs, "token_type_ids": types} if self._stage.base.uses_token_types else inputs
