"""Adapters after one real training step, on a tiny base of any family, and their rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from oracle import Cached, Plain
from tiny_families import Family
from torch import Tensor

from sktuning.adapter import Adapter
from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import AdapterConfig, AdapterSpec, Method, Pooling, Task, TextOffset, Transform
from sktuning.data import Dataset, Example, Target, TextInput
from sktuning.tokens import EncodedRow
from sktuning.training.objective import Objective
from sktuning.training.trainable import Trainable
from sktuning.training.trainer import make_config

TEXTS = (
    "good",
    "the text is very good",
    "a bad text was not great and not very good but the other text is awful and bad",
    "is the text a great text",
    "was it",
)
_NOISE = 0.3  # on every trained number: far enough from where training starts


@dataclass(frozen=True, slots=True)
class Case:
    """What is trained."""

    task: Task
    method: Method = Method.SK_PREFIX
    is_pair: bool = False
    transform: Transform = Transform.LOW_RANK
    pooling: Pooling = Pooling.MEAN
    prompt_text: str = "classify the text"

    def __str__(self) -> str:
        pair = "-pair" if self.is_pair else ""
        return f"{self.method}-{self.task}{pair}-{self.transform}-{self.pooling}"


@dataclass(frozen=True, eq=False)
class Made:
    """A trained adapter with everything that it came from."""

    classifier: Classifier
    trainable: Trainable
    adapter: Adapter
    rows: list[EncodedRow]
    loss: float  # of the step that was taken
    gradients: dict[str, Tensor]  # of that step

    @property
    def logits(self) -> list[NDArray[np.float32]]:
        """Of all rows in one forward."""
        return self.classifier.logits([(row, self.adapter) for row in self.rows])


class Bench:
    """One family: its base, its oracles, and adapters made on it."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._made: dict[Case, Made] = {}

    @cached_property
    def classifier(self) -> Classifier:
        """On the family's tiny base."""
        return Classifier(self.family.base())

    @property
    def base(self) -> FrozenBase:
        """The family's tiny base."""
        return self.classifier.base

    @cached_property
    def plain(self) -> Plain:
        """The oracle with an attention of its own."""
        return Plain(
            self.family.model(),
            position_start=self.family.position_start,
            takes_positions=self.family.takes_positions,
        )

    @cached_property
    def cached(self) -> Cached:
        """The stock model as an oracle."""
        return Cached(self.family.model(), takes_positions=self.family.takes_positions)

    def make(self, case: Case) -> Made:
        """The adapter of a case, made once."""
        if case not in self._made:
            self._made[case] = make(self.classifier, case)
        return self._made[case]

    def expected(self, made: Made, row: EncodedRow) -> NDArray[np.float64]:
        """What the oracle answers."""
        return through_head(self.hidden(made, row), row, made.adapter)

    def hidden(self, made: Made, row: EncodedRow) -> Tensor:
        """What the oracle understands of a row, (T, H)."""
        state, config = made.adapter.state, made.adapter.config
        offset = config.num_virtual_tokens if is_after(config) else 0
        if self.family.path == "padded":
            assert state.kv is not None
            return self.cached.after_prefix(row.ids, state.kv, offset)
        return self.plain.hidden(
            row.ids,
            row.type_ids,
            kv=state.kv,
            embeds=state.embeds,
            offset=offset,
            uses_types=self.family.uses_types,
        )


def make(classifier: Classifier, case: Case) -> Made:
    """Train for one step from a random place."""
    examples = make_rows(case)
    labels = _LABELS[case.task]
    spec = AdapterSpec(
        method=case.method,
        transform=case.transform,
        rank=4,
        prompt_text=case.prompt_text,
        pooling=case.pooling,
    )
    dataset = Dataset(case.task, labels, tuple(examples), tuple(examples))
    config = make_config(classifier, dataset, spec)
    objective = Objective(config, examples)
    encoded = objective.encode(examples, classifier.encoder, classifier.base.max_length)
    trainable = Trainable(classifier, classifier.semantics.get(config.prompt_text), config)
    _shake(trainable)
    rows = [example.row for example in encoded]
    targets = objective.join([example.target for example in encoded])
    loss = objective.loss(trainable(rows), targets)
    optimiser = torch.optim.AdamW(trainable.parameters(), lr=1e-2)
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in trainable.named_parameters()
    }
    optimiser.step()
    with torch.no_grad():
        state = trainable.encoder().to("cpu", torch.float32)
    adapter = Adapter(config, state, trainable.served_head())
    return Made(classifier, trainable, adapter, rows, float(loss.detach()), gradients)


def make_rows(case: Case) -> list[Example]:
    """Labelled rows of very different lengths."""
    targets = _TARGETS[case.task]
    rows = []
    for i, text in enumerate(TEXTS):
        if case.task is Task.TOKENS:
            words = tuple(text.split())
            tags = tuple("B-mood" if word in ("good", "bad") else "O" for word in words)
            rows.append(Example(TextInput(tokens=words), tags))
        else:
            pair = TEXTS[-1 - i] if case.is_pair else None
            rows.append(Example(TextInput(text, pair), targets[i % len(targets)]))
    return rows


def through_head(hidden: Tensor, row: EncodedRow, adapter: Adapter) -> NDArray[np.float64]:
    """Pool and classify, from the definitions, in float64."""
    weight, bias = adapter.head.weight.double(), adapter.head.bias.double()
    if adapter.config.task is Task.TOKENS:
        assert row.word_index is not None
        pooled = hidden[list(row.word_index)]
    elif adapter.config.pooling is Pooling.MEAN:
        pooled = hidden.mean(dim=0)
    else:
        pooled = hidden[0 if adapter.config.pooling is Pooling.FIRST else -1]
    logits: NDArray[np.float64] = (pooled @ weight.T + bias).numpy()
    return logits


def trained_logits(made: Made) -> list[NDArray[np.float32]]:
    """What the trainable itself answers, a row at a time as a served adapter does."""
    with torch.no_grad():
        return [made.trainable([row]).numpy().reshape(_shape_of(made, row)) for row in made.rows]


def is_after(config: AdapterConfig) -> bool:
    """Whether the text's positions go on from the prompt's."""
    return config.text_offset is TextOffset.AFTER_PROMPT


def with_offset(made: Made, offset: TextOffset) -> Made:
    """The same adapter with its texts elsewhere."""
    config = replace(made.adapter.config, text_offset=offset)
    return replace(made, adapter=replace(made.adapter, config=config))


def error_of(
    seen: Sequence[NDArray[np.float32]], expected: Sequence[NDArray[np.floating]]
) -> float:
    """The largest difference, over the largest expected value."""
    assert [one.shape for one in seen] == [one.shape for one in expected]
    scale = max(float(np.abs(one).max()) for one in expected)
    pairs = zip(seen, expected, strict=True)
    return max(float(np.abs(one - other).max()) for one, other in pairs) / scale


def _shape_of(made: Made, row: EncodedRow) -> tuple[int, ...]:
    width = made.adapter.config.num_outputs
    return (len(row.words), width) if row.words is not None else (width,)


def _shake(trainable: Trainable) -> None:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in trainable.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=_NOISE)


_LABELS: dict[Task, tuple[str, ...]] = {
    Task.SINGLE_LABEL: ("bad", "good", "neither"),
    Task.MULTI_LABEL: ("angry", "happy"),
    Task.REGRESSION: (),
    Task.TOKENS: ("B-mood", "O"),
}
_TARGETS: dict[Task, tuple[Target, ...]] = {
    Task.SINGLE_LABEL: ("good", "bad", "neither"),
    Task.MULTI_LABEL: (("happy",), ("angry", "happy"), ()),
    Task.REGRESSION: (1.0, 3.5, -2.0),
    Task.TOKENS: (),
}
