"""What an ablation changes about SK-Tuning's defaults, one thing at a time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contest.contender import Headed
from contest.heads import Bent, LayerMix, MeanAndMax
from sktuning.config import Method, Pooling, Start, Transform
from sktuning.methods import default_learning_rate


@dataclass(frozen=True, slots=True)
class Variant:
    """One thing that is otherwise than by default.

    Attributes:
        spec: of `AdapterSpec`.
        training: of `TrainingConfig`.
        rate: of the prompt, where another one suits it; None: the default's.
        has_muon: whether free states are stepped with Muon; else with AdamW.
        has_warm_start: whether the head is fitted before the first step.
        describes: whether the prompt says what the labels mean, where that is known.
        head: what is made of the hidden states; None: the contest's own, as the product has it.
    """

    spec: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    rate: float | None = None
    has_muon: bool = True
    has_warm_start: bool = True
    describes: bool = False
    head: type[Headed] | None = None

    @property
    def is_setting(self) -> bool:
        """Whether a user of the product can choose it."""
        return self.has_muon and self.has_warm_start and self.head is None


DEFAULT = Variant()
_MAP_RATE = default_learning_rate(Method.SK_PREFIX, Transform.LOW_RANK)

# the name says what is changed; the empty one is the default
VARIANTS: Mapping[str, Variant] = {
    "": DEFAULT,
    "start: words as they are": Variant({"start": Start.SEMANTIC}),
    "start: noise": Variant({"start": Start.RANDOM}),
    "low rank 8": Variant({"transform": Transform.LOW_RANK}, rate=_MAP_RATE),
    "low rank 8, words as they are": Variant(
        {"transform": Transform.LOW_RANK, "start": Start.SEMANTIC}, rate=_MAP_RATE
    ),
    "low rank 32": Variant({"transform": Transform.LOW_RANK, "rank": 32}, rate=_MAP_RATE),
    "linear": Variant({"transform": Transform.LINEAR}, rate=_MAP_RATE),
    "frozen": Variant({"transform": Transform.FROZEN}),
    "AdamW, rate 0.03": Variant(has_muon=False),
    "AdamW, rate 0.06": Variant(has_muon=False, rate=6e-2),
    "rate 0.015": Variant(rate=1.5e-2),
    "rate 0.06": Variant(rate=6e-2),
    "no warm start": Variant(has_warm_start=False),
    "prompt: labels not named": Variant({"prompt_text": "classify the text:"}),
    "prompt: labels described": Variant(describes=True),
    "pooling: first": Variant({"pooling": Pooling.FIRST}),
    "pooling: mean and largest": Variant(head=MeanAndMax),
    "pooling: mix of all layers": Variant(head=LayerMix),
    "head: with a hidden layer": Variant(head=Bent),
    "batches of 16": Variant(training={"batch_size": 16}),
    "batches of 64": Variant(training={"batch_size": 64}),
    "no dropout": Variant(training={"head_dropout": 0.0}),
}

# what one would try first, on any dataset
TUNED = ("", "rate 0.015", "rate 0.06", "batches of 16", "batches of 64", "no dropout")
