"""Where the classifiers of transformers keep their heads, family by family."""

from collections.abc import Mapping
from dataclasses import dataclass

from sktuning.base import FrozenBase
from sktuning.config import Activation, Pooling
from sktuning.errors import PeftRefused
from sktuning.families import POOLED_HEADS
from sktuning.peft.declaration import PeftTask


@dataclass(frozen=True, slots=True)
class Layout:
    """The head of one family and task.

    Attributes:
        out: the module that gives the logits.
        dense: the module of the hidden layer before it, stored with the head.
        activation: what follows the hidden layer.
        has_bias: whether `out` has one.
        reads_pooler: the hidden layer is the base's own pooler, which is not stored.
        pooling: which token's state a sequence's head reads.
    """

    out: str
    dense: str | None = None
    activation: Activation | None = None
    has_bias: bool = True
    reads_pooler: bool = False
    pooling: Pooling = Pooling.FIRST


_ROBERTA = Layout("classifier.out_proj", "classifier.dense", Activation.TANH)
_SEQUENCE: Mapping[str, Layout] = {
    **{family: Layout("classifier", reads_pooler=True) for family in POOLED_HEADS},
    **{family: _ROBERTA for family in ("roberta", "xlm-roberta", "camembert")},
    "electra": Layout("classifier.out_proj", "classifier.dense", Activation.GELU),
    "distilbert": Layout("classifier", "pre_classifier", Activation.RELU),
}
_CAUSAL_SEQUENCE = Layout("score", has_bias=False, pooling=Pooling.LAST)
_NAMED_CLASSIFIER = frozenset(
    {"biogpt", "bloom", "falcon", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "mpt"}
)
# their forwards in transformers take no keys and values, so PEFT has no prefix tuning on them
_WITHOUT_PREFIX = frozenset({"distilbert", "modernbert"})


def find_layout(base: FrozenBase, task: PeftTask) -> Layout:
    """How a classifier of this base keeps its head.

    Raises:
        PeftRefused: it is not known for this family.
    """
    if base.is_causal and task is PeftTask.SEQUENCE:
        return _CAUSAL_SEQUENCE
    if base.is_causal:
        return Layout("classifier" if base.family in _NAMED_CLASSIFIER else "score")
    if base.family not in _SEQUENCE:
        raise PeftRefused(
            f"how a {base.family} classifier of PEFT computes its answer is not known here; "
            f"of the encoders {', '.join(sorted(_SEQUENCE))} are"
        )
    return _SEQUENCE[base.family] if task is PeftTask.SEQUENCE else Layout("classifier")


def check_prefix(base: FrozenBase) -> None:
    """Refuse prefix tuning on a family that PEFT has none for.

    Raises:
        PeftRefused: it is one of them.
    """
    if base.family in _WITHOUT_PREFIX:
        raise PeftRefused(f"PEFT has no PREFIX_TUNING on {base.family}; PROMPT_TUNING works")
