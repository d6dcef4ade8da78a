"""Training on a tiny base: it learns, resumes where it stopped, and leaves the base alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_datasets import by_task, sentiment

from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import (
    AdapterSpec,
    ClassWeight,
    Method,
    Start,
    Task,
    TrainingConfig,
    Transform,
)
from sktuning.data import Example, Target, TextInput
from sktuning.errors import ConfigError, DataError, TrainingCancelled
from sktuning.evaluate import evaluate
from sktuning.fingerprint import base_digest
from sktuning.training.checkpoint import NAME, Position, load_checkpoint
from sktuning.training.progress import Progress, TrainedAdapter
from sktuning.training.trainer import Trainer

QUICK = AdapterSpec(rank=4, training=TrainingConfig(epochs=4, batch_size=8, patience=0))


def train(trainer: Trainer) -> tuple[list[Progress], TrainedAdapter]:
    return list(trainer.run()), trainer.finish()


@pytest.mark.parametrize("base_name", ["tiny_bert", "tiny_gpt2"])
@pytest.mark.parametrize("method", list(Method))
def test_an_adapter_learns_and_the_base_stays_what_it_was(
    request: pytest.FixtureRequest, base_name: str, method: Method
) -> None:
    base: FrozenBase = request.getfixturevalue(base_name)
    progress, trained = train(Trainer(base, sentiment(), replace(QUICK, method=method)))
    assert trained.main_metric == "accuracy"
    assert trained.main_score > 0.9
    assert progress[0].phase == "warm-start"
    assert progress[-1].step == progress[-1].num_steps == 48
    assert base_digest(base.model, base.tokenizer.backend_tokenizer) == base.identity.digest


@pytest.mark.parametrize("transform", list(Transform))
@pytest.mark.parametrize("method", list(Method))
def test_every_transform_starts_as_the_semantic_state(
    tiny_bert: FrozenBase, method: Method, transform: Transform
) -> None:
    spec = replace(QUICK, method=method, transform=transform, start=Start.SEMANTIC)
    trainer = Trainer(tiny_bert, sentiment(8), spec)
    text = trainer.config.prompt_text
    semantics = Classifier(tiny_bert).semantics.get(text)
    expected = semantics.kv if method is Method.SK_PREFIX else semantics.embeds
    state = trainer._materialise().state
    assert torch.allclose(state.tensor, expected, atol=1e-5)


@pytest.mark.parametrize("transform", [t for t in Transform if t is not Transform.FROZEN])
@pytest.mark.parametrize("method", list(Method))
def test_every_trainable_transform_is_trained(
    tiny_gpt2: FrozenBase, method: Method, transform: Transform
) -> None:
    spec = replace(QUICK, method=method, transform=transform)
    trainer = Trainer(tiny_gpt2, sentiment(8), spec)
    before = trainer._materialise().state.tensor.clone()
    steps = trainer.run()
    for _ in range(6):
        next(steps)
    assert not torch.equal(before, trainer._materialise().state.tensor)


@pytest.mark.parametrize("task", list(Task))
def test_every_task_is_learned(tiny_bert: FrozenBase, task: Task) -> None:
    _, trained = train(Trainer(tiny_bert, by_task(task), QUICK))
    assert trained.main_score > 0.8
    assert trained.adapter.config.task is task


def test_a_regression_answers_in_the_unit_of_its_targets(tiny_bert: FrozenBase) -> None:
    dataset = by_task(Task.REGRESSION)
    longer = replace(QUICK, training=replace(QUICK.training, epochs=20))
    _, trained = train(Trainer(tiny_bert, dataset, longer))
    classifier = Classifier(tiny_bert)
    rows = classifier.encoder.encode([dataset.train[0].input], trained.adapter.config)
    value = classifier.logits([(rows[0], trained.adapter)])[0]  # type: ignore[list-item]
    assert abs(float(value[0]) - float(dataset.train[0].target)) < 2.0  # type: ignore[arg-type]


def test_the_best_evaluation_is_kept(tiny_bert: FrozenBase) -> None:
    progress, trained = train(Trainer(tiny_bert, sentiment(), QUICK))
    seen = [p.metrics["accuracy"] for p in progress if p.metrics]
    assert trained.main_score == pytest.approx(max(seen))
    assert len(trained.history) == len(seen) == 10
    again = evaluate(Classifier(tiny_bert), trained.adapter, sentiment().held_out)
    assert {name: again[name] for name in ("accuracy", "macro_f1")} == {
        name: trained.metrics[name] for name in ("accuracy", "macro_f1")
    }


def test_training_stops_early_when_nothing_improves(tiny_bert: FrozenBase) -> None:
    training = replace(QUICK.training, epochs=50, patience=2)
    progress, trained = train(Trainer(tiny_bert, sentiment(16), replace(QUICK, training=training)))
    assert trained.num_steps < progress[-1].num_steps


@pytest.mark.parametrize(
    ("task", "prototypes"), [*((task, False) for task in Task), (Task.SINGLE_LABEL, True)]
)
def test_a_batch_computed_in_parts_is_the_same_step(
    tiny_bert: FrozenBase, task: Task, prototypes: bool
) -> None:
    found = by_task(task)
    # 15 rows: parts of unequal size, and a last batch of fewer rows than parts
    rows = (*found.train[:14], replace(found.train[14], input=longer(found.train[14].input)))
    if task is Task.TOKENS:
        rows = tuple(replace(e, target=padded(e)) for e in rows)

    def trained(parts: int) -> tuple[list[float | None], dict[str, torch.Tensor]]:
        training = TrainingConfig(epochs=2, batch_size=6, gradient_accumulation_steps=parts)
        training = replace(training, class_weight=ClassWeight.BALANCED, prototypes=prototypes)
        spec = AdapterSpec(rank=2, training=training)
        trainer = Trainer(tiny_bert, replace(found, train=rows), spec)
        losses = [progress.loss for progress in trainer.run() if progress.phase == "training"]
        return losses, dict(trainer._model.state_dict())

    (whole, expected), (parted, seen) = trained(1), trained(4)
    assert parted == pytest.approx(whole, rel=2e-4)  # sums in another order, and Adam on them
    for name, tensor in expected.items():
        is_fitted = prototypes and name.startswith("head.")
        assert torch.allclose(tensor, seen[name], atol=1e-3 if is_fitted else 2e-5), name


def longer(given: TextInput) -> TextInput:
    """The same and more of it."""
    if given.tokens is not None:
        return TextInput(tokens=given.tokens * 3)
    return TextInput(given.text + " and the text is very very good")


def padded(example: Example) -> Target:
    """Tags as long as the words."""
    tags = example.target
    assert isinstance(tags, tuple)
    return (tags * 3)[: len(example.input.tokens or ())]


def stop_after(calls: int) -> Callable[[], bool]:
    left = iter(range(calls))
    return lambda: next(left, None) is None


def test_a_stopped_training_goes_on_where_it_was_and_ends_the_same(
    tiny_bert: FrozenBase, tmp_path: Path
) -> None:
    whole = train(Trainer(tiny_bert, sentiment(), QUICK))[1]
    first = Trainer(
        tiny_bert, sentiment(), QUICK, checkpoint_dir=tmp_path, should_stop=stop_after(20)
    )
    with pytest.raises(TrainingCancelled, match="step 19"):
        list(first.run())
    second = Trainer(tiny_bert, sentiment(), QUICK, checkpoint_dir=tmp_path)
    assert second.resumed_from == 19
    progress, resumed = train(second)
    assert progress[0].step == 20
    for name, tensor in whole.trainable.items():
        assert torch.allclose(tensor, resumed.trainable[name], atol=1e-5), name
    assert [dict(h) for h in resumed.history] == [dict(h) for h in whole.history]
    assert resumed.main_score == whole.main_score


def test_a_checkpoint_of_other_data_is_not_continued(tiny_bert: FrozenBase, tmp_path: Path) -> None:
    first = Trainer(
        tiny_bert, sentiment(), QUICK, checkpoint_dir=tmp_path, should_stop=stop_after(5)
    )
    with pytest.raises(TrainingCancelled):
        list(first.run())
    assert load_checkpoint(tmp_path) is not None
    assert Trainer(tiny_bert, sentiment(20), QUICK, checkpoint_dir=tmp_path).resumed_from is None


def test_a_torn_checkpoint_starts_the_training_over(tiny_bert: FrozenBase, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"\x10\0\0\0\0\0\0\0{torn")
    assert Trainer(tiny_bert, sentiment(), QUICK, checkpoint_dir=tmp_path).resumed_from is None


def test_materialised_equals_trained(tiny_bert: FrozenBase) -> None:
    plain = replace(QUICK.training, prototypes=False)
    trainer = Trainer(tiny_bert, sentiment(8), replace(QUICK, training=plain))
    steps = trainer.run()
    for _ in range(8):
        next(steps)
    rows = [example.row for example in trainer._rows[:5]]
    with torch.no_grad():
        trained = trainer._model(rows).numpy()
    adapter = trainer._materialise()
    served = np.stack(Classifier(tiny_bert).logits([(row, adapter) for row in rows]))
    assert np.allclose(trained, served, atol=1e-5)


def test_rows_without_tokens_are_named(tiny_bert: FrozenBase) -> None:
    dataset = sentiment(4)
    rows = (*dataset.train, Example(TextInput("\u200d"), "positive"))
    with pytest.raises(DataError, match="row 9"):
        Trainer(tiny_bert, replace(dataset, train=rows), QUICK)


@pytest.mark.parametrize("base_name", ["tiny_bert", "tiny_gpt2"])
def test_training_in_bfloat16_serves_in_the_bases_own_dtype(
    request: pytest.FixtureRequest, base_name: str
) -> None:
    base: FrozenBase = request.getfixturevalue(base_name)
    spec = replace(QUICK, training=replace(QUICK.training, mixed_precision="bf16"))
    dataset = sentiment(24)
    _, trained = train(Trainer(base, dataset, spec))
    assert base.dtype is torch.float32
    assert trained.golden.dtype == "float32"
    assert {p.dtype for p in trained.trainable.values()} == {torch.float32}
    assert trained.training.mixed_precision == "bf16"
    metrics = evaluate(Classifier(base), trained.adapter, dataset.held_out)
    assert trained.main_score == metrics["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("num_rows", "num_labels", "epochs"),
    [
        (400, 3, 20),
        (4800, 2, 4),
        (20_000, 2, 3),
        (9003, 77, 6),
        (77, 6, 60),
        (64, 2, 60),
        (200, 2, 26),
    ],
)
def test_epochs_follow_the_rows_and_the_labels(num_rows: int, num_labels: int, epochs: int) -> None:
    assert TrainingConfig().plan_epochs(num_rows, num_labels) == epochs
    assert TrainingConfig(epochs=2).plan_epochs(num_rows, num_labels) == 2


@pytest.mark.parametrize(("num_held_out", "chosen"), [(30, max), (29, lambda found: found[-1])])
def test_the_best_evaluation_is_kept_where_enough_rows_tell_which_it_is(
    tiny_bert: FrozenBase, num_held_out: int, chosen: Callable[[list[float]], float]
) -> None:
    dataset = sentiment(60)
    by_chance = [
        replace(example, target=dataset.labels[i * i % 7 % 2])
        for i, example in enumerate(dataset.train[:num_held_out])
    ]
    training = TrainingConfig(epochs=4, batch_size=8, patience=0, learning_rate=1.0)
    spec = AdapterSpec(training=replace(training, prototypes=False))
    _, trained = train(Trainer(tiny_bert, replace(dataset, held_out=tuple(by_chance)), spec))
    found = [evaluation["accuracy"] for evaluation in trained.history]
    assert max(found) > found[-1]  # or nothing is shown
    assert trained.main_score == chosen(found)


def test_a_fitted_head_that_training_only_makes_worse_is_kept(tiny_bert: FrozenBase) -> None:
    dataset = replace(sentiment(40), held_out=sentiment(60).train[-40:])
    training = TrainingConfig(epochs=2, batch_size=8, learning_rate=50.0, head_learning_rate=20.0)
    progress, trained = train(Trainer(tiny_bert, dataset, AdapterSpec(training=training)))
    start, *found = [evaluation["accuracy"] for evaluation in trained.history]
    assert max(found) < start == trained.main_score
    assert (trained.kept_step, trained.history[0]["step"]) == (0, 0.0)
    evaluated = [(p.step, p.is_best) for p in progress if p.metrics]
    assert evaluated[0] == (0, True)
    assert {is_best for _, is_best in evaluated[1:]} == {False}


def test_a_start_that_is_hard_to_reach_stops_nothing() -> None:
    position = Position()
    assert position.take(0.9)
    for step, (score, is_kept, stale) in enumerate(
        [(0.5, False, 0), (0.6, False, 0), (0.6, False, 1), (0.9, True, 0), (0.8, False, 1)], 1
    ):
        position.step = step
        assert position.take(score) is is_kept
        assert position.stale == stale


def test_few_rows_draw_texts_to_their_labels_and_the_head_is_fitted(tiny_bert: FrozenBase) -> None:
    dataset = sentiment(24)
    steps = Trainer(tiny_bert, dataset, AdapterSpec(training=TrainingConfig(batch_size=8)))
    assert steps.config.task is Task.SINGLE_LABEL
    progress, trained = train(steps)
    assert trained.training.prototypes
    assert progress[-1].num_steps == 60
    losses = [p.loss for p in progress if p.loss is not None]
    assert losses[-1] < losses[0]
    assert trained.main_score > 0.9
    plain = replace(TrainingConfig(), prototypes=False)
    assert not Trainer(tiny_bert, dataset, AdapterSpec(training=plain))._has_prototypes
    frozen = AdapterSpec(transform=Transform.FROZEN)
    assert not Trainer(tiny_bert, dataset, frozen)._has_prototypes


@pytest.mark.parametrize(
    ("task", "num_rows", "num_labels", "asked", "found"),
    [
        (Task.SINGLE_LABEL, 256, 2, None, True),
        (Task.SINGLE_LABEL, 257, 2, None, False),
        (Task.SINGLE_LABEL, 77 * 32, 77, None, True),
        (Task.SINGLE_LABEL, 77 * 32 + 1, 77, None, False),
        (Task.SINGLE_LABEL, 257, 2, True, True),
        (Task.SINGLE_LABEL, 8, 2, False, False),
        (Task.MULTI_LABEL, 8, 2, None, False),
        (Task.REGRESSION, 8, 0, None, False),
        (Task.TOKENS, 8, 3, False, False),
    ],
)
def test_prototypes_are_for_few_rows_of_one_label_each(
    task: Task, num_rows: int, num_labels: int, asked: bool | None, found: bool
) -> None:
    training = TrainingConfig(prototypes=asked)
    assert training.plan_prototypes(task, num_rows, num_labels) is found


def test_a_task_without_prototypes_refuses_them() -> None:
    with pytest.raises(ConfigError, match="tokens has no prototypes"):
        TrainingConfig(prototypes=True).plan_prototypes(Task.TOKENS, 8, 3)


def test_few_held_out_rows_stop_nothing_unless_asked_to() -> None:
    assert TrainingConfig().plan_patience(29) == 0
    assert TrainingConfig().plan_patience(30) == 6
    assert TrainingConfig(patience=2).plan_patience(1) == 2
