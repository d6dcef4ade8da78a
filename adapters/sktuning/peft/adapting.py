"""From a PEFT checkpoint to an adapter, and to an artifact that can test itself."""

from dataclasses import dataclass, replace
from pathlib import Path

from sktuning import artifact, card, golden
from sktuning.adapter import Adapter
from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import AdapterConfig, Method, Pooling, Start, Task, TextOffset, Transform
from sktuning.data import Example, TextInput
from sktuning.errors import ConfigError
from sktuning.golden import Golden
from sktuning.heads import Head
from sktuning.peft.checkpoint import Checkpoint, read
from sktuning.peft.declaration import Declaration, Kind, PeftTask
from sktuning.peft.heads import to_head
from sktuning.peft.layouts import Layout, find_layout
from sktuning.peft.options import ImportOptions
from sktuning.peft.prompts import to_state

_TEXTS = (
    "The film was a delight from beginning to end.",
    "I have waited two weeks and nobody answers my letters.",
    "How do I change the address on my account?",
    "Ada Lovelace was born in London in 1815.",
    "Win a free phone now, click here!",
    "It rains.",
)


@dataclass(frozen=True, slots=True, eq=False)
class Imported:
    """An adapter that was trained elsewhere, with what its artifact needs beside it."""

    adapter: Adapter
    golden: Golden
    declaration: Declaration

    def save(self, directory: Path) -> str:
        """Write the artifact and return its digest; see `artifact.write`."""
        declared = self.declaration
        origin = [
            ("method", declared.kind),
            ("task", declared.task),
            ("base, as it says", declared.base_name or "not said"),
        ]
        text = card.render_imported(self.adapter, origin)
        return artifact.write(directory, self.adapter, self.golden, text)


def load(folder: Path, base: FrozenBase, options: ImportOptions | None = None) -> Adapter:
    """The adapter that a PEFT checkpoint makes on `base`, on the processor; runs a forward.

    Raises:
        PeftRefused: the checkpoint cannot become an adapter; says why.
        BaseMismatch: it was trained on a base of other shapes.
        ConfigError: the options do not fit it.
        ArtifactCorrupt: its files are broken or hostile.
    """
    return adapt(read(folder), base, options or ImportOptions())


def adapt(checkpoint: Checkpoint, base: FrozenBase, options: ImportOptions) -> Adapter:
    """A checkpoint that has been read, as an adapter; see `load`."""
    declared = checkpoint.declaration
    layout = find_layout(base, declared.task)
    head = to_head(checkpoint.head, layout, base)
    state = to_state(checkpoint, base)
    task = _task(declared.task, head, options)
    config = AdapterConfig(
        task=task,
        labels=_labels(task, head, base, options),
        base=base.identity,
        method=Method.SK_PREFIX if declared.kind is Kind.PREFIX else Method.SK_PROMPT,
        transform=Transform.DIRECT,
        start=Start.RANDOM,
        num_virtual_tokens=declared.num_virtual_tokens,
        text_offset=TextOffset.AFTER_PROMPT,
        is_pair=options.is_pair,
        adds_special_tokens=base.is_causal,
        head_activation=head.activation,
    )
    return Adapter(_pooled(config, layout, is_in_row=state.embeds is not None), state, head)


def convert(checkpoint: Checkpoint, classifier: Classifier, options: ImportOptions) -> Imported:
    """A checkpoint with golden rows of its own, ready to be saved; runs forwards.

    Raises:
        PeftRefused, BaseMismatch, ConfigError: see `load`.
        DataError: it gives no finite answer.
    """
    adapter = adapt(checkpoint, classifier.base, options)
    return Imported(adapter, record(classifier, adapter), checkpoint.declaration)


def record(classifier: Classifier, adapter: Adapter) -> Golden:
    """Golden rows of fixed texts: a checkpoint brings none."""
    pairs = [*_TEXTS[1:], _TEXTS[0]]
    inputs = [
        TextInput(text, other if adapter.config.is_pair else None)
        for text, other in zip(_TEXTS, pairs, strict=True)
    ]
    as_served = adapter.to(classifier.base.device, classifier.base.dtype)
    return golden.record(classifier, as_served, [Example(item, "") for item in inputs])


def _pooled(config: AdapterConfig, layout: Layout, *, is_in_row: bool) -> AdapterConfig:
    """Of a sequence: heads that read the first position read a virtual token where one is there."""
    if config.task is Task.TOKENS:
        return config
    reads_prompt = is_in_row and layout.pooling is Pooling.FIRST
    return replace(config, pooling=layout.pooling, pools_prompt=reads_prompt)


def _task(declared: PeftTask, head: Head, options: ImportOptions) -> Task:
    is_tokens = declared is PeftTask.TOKENS
    if options.task is not None and (options.task is Task.TOKENS) != is_tokens:
        raise ConfigError(f"the checkpoint is for {declared}; it cannot be {options.task}")
    if is_tokens:
        return Task.TOKENS
    alone = Task.REGRESSION if head.num_outputs == 1 else Task.SINGLE_LABEL
    task = options.task or alone
    if task is Task.REGRESSION and head.num_outputs > 1:
        raise ConfigError(f"the checkpoint has {head.num_outputs} outputs; regression has one")
    return task


def _labels(task: Task, head: Head, base: FrozenBase, options: ImportOptions) -> tuple[str, ...]:
    number = head.num_outputs
    if task is Task.REGRESSION:
        if options.labels:
            raise ConfigError("the checkpoint has one output, a number: it has no labels")
        return ()
    if options.labels and len(options.labels) != number:
        raise ConfigError(f"{len(options.labels)} labels given; the checkpoint has {number}")
    return options.labels or _base_labels(base, number)


def _base_labels(base: FrozenBase, number: int) -> tuple[str, ...]:
    """The base's ``id2label`` where it has as many; transformers numbers them itself otherwise."""
    known = getattr(base.model.config, "id2label", None) or {}
    plain = tuple(f"LABEL_{i}" for i in range(number))
    names = tuple(str(known.get(i, "")) for i in range(number))
    return names if len(known) == number == len({*names} - {""}) else plain
