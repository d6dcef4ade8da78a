"""Adapters that no training made: seeded states and heads on a real base, ready to be saved."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from sktuning import golden
from sktuning.adapter import Adapter
from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import AdapterConfig, BaseIdentity, Method, Task, TrainingConfig
from sktuning.data import Example, Target, TextInput
from sktuning.heads import Head
from sktuning.metrics import MAIN_METRIC
from sktuning.state import PromptState
from sktuning.training.progress import TrainedAdapter

LABELS: dict[Task, tuple[str, ...]] = {
    Task.SINGLE_LABEL: ("bad", "good", "so-so"),
    Task.MULTI_LABEL: ("angry", "happy"),
    Task.REGRESSION: (),
    Task.TOKENS: ("B-thing", "I-thing", "O"),
}
_TARGETS: dict[Task, tuple[Target, ...]] = {
    Task.SINGLE_LABEL: ("good", "bad"),
    Task.MULTI_LABEL: (("happy",), ("angry", "happy")),
    Task.REGRESSION: (1.0, 3.5),
    Task.TOKENS: (("O", "B-thing", "I-thing"), ("B-thing", "O", "O")),
}
_TEXTS = ("the text is", "a good text", "very bad text", "awful was text", "not great text")
PROMPT = "classify the text"


def make_config(task: Task = Task.SINGLE_LABEL, **changes: Any) -> AdapterConfig:
    """A configuration of no particular base."""
    values: dict[str, Any] = {
        "task": task,
        "labels": LABELS[task],
        "base": BaseIdentity("nobody/none", "sha256:" + "0" * 64),
        "prompt_text": PROMPT,
        "num_virtual_tokens": 3,
        **changes,
    }
    return AdapterConfig(**values)


def make_adapter(
    base: FrozenBase, task: Task = Task.SINGLE_LABEL, *, seed: int = 0, **changes: Any
) -> Adapter:
    """The semantic state of a prompt, and a seeded head with clear opinions."""
    semantics = Classifier(base).semantics.get(changes.get("prompt_text", PROMPT))
    config = make_config(
        task, base=base.identity, num_virtual_tokens=semantics.length, seed=seed, **changes
    )
    is_embeds = config.method is Method.SK_PROMPT and not base.is_causal
    state = PromptState(embeds=semantics.embeds) if is_embeds else PromptState(kv=semantics.kv)
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(config.num_outputs, base.hidden_size, generator=generator)
    bias = torch.randn(config.num_outputs, generator=generator)
    return Adapter(config, state.to("cpu", torch.float32), Head(weight, bias))


def make_examples(task: Task, *, is_pair: bool = False) -> list[Example]:
    """A few short rows that every tiny base can read."""
    targets = _TARGETS[task]
    return [
        Example(_make_input(text, task, is_pair), targets[i % len(targets)])
        for i, text in enumerate(_TEXTS)
    ]


def make_trained(
    base: FrozenBase, task: Task = Task.SINGLE_LABEL, *, seed: int = 0, **changes: Any
) -> TrainedAdapter:
    """What a training hands over, without the training."""
    adapter = make_adapter(base, task, seed=seed, **changes)
    examples = make_examples(task, is_pair=adapter.config.is_pair)
    return trained_of(base, adapter, examples)


def trained_of(base: FrozenBase, adapter: Adapter, examples: Sequence[Example]) -> TrainedAdapter:
    """What a training that had made `adapter` would hand over."""
    main = MAIN_METRIC[adapter.config.task]
    return TrainedAdapter(
        adapter=adapter,
        metrics={main: 0.5, "num_rows": len(examples)},
        main_metric=main,
        main_score=0.5,
        golden=golden.record(Classifier(base), adapter, examples),
        trainable={"head.weight": adapter.head.weight, "head.bias": adapter.head.bias},
        training=TrainingConfig(),
        label_counts={label: 1 for label in adapter.config.labels},
        num_train=8,
        num_held_out=len(examples),
        num_truncated=0,
        num_steps=1,
        kept_step=1,
        seconds=0.25,
        history=(),
    )


def with_labels(trained: TrainedAdapter, labels: tuple[str, ...]) -> TrainedAdapter:
    """The same adapter with other names for its labels."""
    adapter = replace(trained.adapter, config=replace(trained.adapter.config, labels=labels))
    rows = golden.Golden.parse(trained.golden.to_bytes(), adapter.config, "golden.json")
    return replace(trained, adapter=adapter, golden=rows)


def _make_input(text: str, task: Task, is_pair: bool) -> TextInput:
    if task is Task.TOKENS:
        return TextInput(tokens=tuple(text.split()))
    return TextInput(text, "a great text" if is_pair else None)
