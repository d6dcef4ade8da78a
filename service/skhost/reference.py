"""An adapter of usual size made from the base itself: a yardstick, and a probe that needs no file.

It says how large adapters are on this base, what shapes theirs must have, and its prompt is what
the base is tested with.
"""

import torch

from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.config import AdapterConfig, Task, TextOffset, Transform
from sktuning.errors import ArtifactCorrupt
from sktuning.heads import Head
from sktuning.state import PromptState

PROMPT = "classify the text by what it says:"
LABELS = ("a", "b", "c", "d")


def reference_adapter(classifier: Classifier) -> Adapter:
    """An untrained prefix adapter with four labels; runs a forward, so on the device thread."""
    base = classifier.base
    kv = classifier.semantics.get(PROMPT).kv  # (L, 2, n_kv, P, D)
    config = AdapterConfig(
        task=Task.SINGLE_LABEL,
        labels=LABELS,
        base=base.identity,
        transform=Transform.FROZEN,
        prompt_text=PROMPT,
        num_virtual_tokens=int(kv.shape[3]),
        text_offset=TextOffset.AFTER_PROMPT if base.is_causal else TextOffset.SHARED,
    )
    weight = torch.zeros(len(LABELS), base.hidden_size, device=base.device)
    head = Head(weight, torch.zeros(len(LABELS), device=base.device))
    return Adapter(config, PromptState(kv=kv.detach()), head)


def check_shapes(adapter: Adapter, reference: Adapter, embedding_size: int) -> None:
    """Refuse an adapter whose tensors cannot go through the base that `reference` is from.

    Raises:
        ArtifactCorrupt: a shape differs, and where.
    """
    state, known = adapter.state, reference.state
    if state.kv is not None and known.kv is not None:
        seen, wanted = list(state.kv.shape), list(known.kv.shape)
        wanted[3] = seen[3]  # the prompt's length is free
    else:
        seen, wanted = list(state.tensor.shape), [state.length, embedding_size]
    if seen != wanted:
        raise ArtifactCorrupt(f"the prompt state has shape {seen}; this base needs {wanted}")
    width, hidden = adapter.head.num_inputs, reference.head.num_inputs
    if width != hidden:
        raise ArtifactCorrupt(f"the head reads {width} values; this base gives {hidden}")
