"""What holds for every method and task on every base family.

The tiny bases are seeded; their models are the stock ones of transformers. Errors are over the
scale of the expected values, in float32 against the oracle's float64.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from making import trained_of
from tiny_families import BY_NAME, EVERY, FAMILIES
from workbench import (
    Bench,
    Case,
    error_of,
    make_rows,
    through_head,
    trained_logits,
    with_offset,
)

from sktuning import artifact
from sktuning.config import Method, Pooling, Task, TextOffset, Transform
from sktuning.fingerprint import base_digest
from sktuning.prompt.encoder import SoftPromptEncoder

TOLERANCE = 1e-5
CASES = [
    Case(task, method, is_pair)
    for method in Method
    for task, is_pair in [*((task, False) for task in Task), (Task.SINGLE_LABEL, True)]
]
EVERY_FAMILY = [family.name for family in FAMILIES]
CAUSAL = [family.name for family in FAMILIES if family.is_causal]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small lose more by waiting for a second thread than it computes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def benches() -> dict[str, Bench]:
    """One bench a family, made when it is first asked for."""
    return {name: Bench(family) for name, family in BY_NAME.items()}


@pytest.fixture
def bench(request: pytest.FixtureRequest, benches: dict[str, Bench]) -> Bench:
    """The bench of the family that the test is about."""
    return benches[request.param]


over_families = pytest.mark.parametrize("bench", EVERY_FAMILY, indirect=True)
over_cases = pytest.mark.parametrize("case", CASES, ids=str)


@over_families
def test_a_family_takes_the_path_that_is_said(bench: Bench) -> None:
    assert bench.base.path == bench.family.path
    assert bench.base.is_causal == bench.family.is_causal


@pytest.mark.parametrize("bench", [f.name for f in EVERY if f.path == "packed"], indirect=True)
def test_the_oracle_is_the_stock_model_when_there_is_no_prompt(bench: Bench) -> None:
    row = bench.make(CASES[0]).rows[2]
    ids = torch.tensor([row.ids])
    with torch.no_grad():
        stock = bench.family.model().double().eval()(input_ids=ids).last_hidden_state[0]
    own = bench.plain.hidden(row.ids, row.type_ids)
    assert len(row) > 8  # beyond every window
    assert error_of([own.numpy()], [stock.numpy()]) < 3e-6  # the stock softmax is in float32


@over_families
@over_cases
def test_the_path_answers_as_the_oracle_does(bench: Bench, case: Case) -> None:
    made = bench.make(case)
    expected = [bench.expected(made, row) for row in made.rows]
    assert error_of(made.logits, expected) < TOLERANCE


@over_families
@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("transform", list(Transform))
def test_every_transform_is_served_as_it_is_trained(
    bench: Bench, method: Method, transform: Transform
) -> None:
    made = bench.make(Case(Task.SINGLE_LABEL, method, transform=transform))
    expected = [bench.expected(made, row) for row in made.rows]
    assert error_of(made.logits, expected) < TOLERANCE
    assert error_of(made.logits, trained_logits(made)) < TOLERANCE


@pytest.mark.parametrize("bench", ["bert", "modernbert", "gpt2", "bloom"], indirect=True)
@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("pooling", [Pooling.FIRST, Pooling.LAST])
def test_every_pooling_reads_the_texts_own_tokens(
    bench: Bench, method: Method, pooling: Pooling
) -> None:
    made = bench.make(Case(Task.SINGLE_LABEL, method, pooling=pooling))
    expected = [bench.expected(made, row) for row in made.rows]
    assert error_of(made.logits, expected) < TOLERANCE


@pytest.mark.parametrize("bench", [f.name for f in FAMILIES if f.takes_positions], indirect=True)
@pytest.mark.parametrize("offset", list(TextOffset))
def test_texts_stand_where_the_configuration_says(bench: Bench, offset: TextOffset) -> None:
    made = bench.make(CASES[0])
    moved = with_offset(made, offset)
    expected = [bench.expected(moved, row) for row in made.rows]
    assert error_of(moved.logits, expected) < TOLERANCE
    if offset is not made.adapter.config.text_offset:
        assert error_of(moved.logits, [one.astype(float) for one in made.logits]) > TOLERANCE


@over_families
@over_cases
def test_what_is_loaded_answers_exactly_as_what_was_saved(
    bench: Bench, case: Case, tmp_path: Path
) -> None:
    made = bench.make(case)
    artifact.save(tmp_path / "a", trained_of(bench.base, made.adapter, make_rows(case)))
    loaded = artifact.load(tmp_path / "a")
    assert loaded.config == made.adapter.config
    assert torch.equal(loaded.state.tensor, made.adapter.state.tensor)
    again = made.classifier.logits([(row, loaded) for row in made.rows])
    assert all(np.array_equal(a, b) for a, b in zip(again, made.logits, strict=True))
    artifact.self_test(tmp_path / "a", loaded, made.classifier)


@over_families
@over_cases
def test_what_is_materialised_answers_as_what_was_trained(bench: Bench, case: Case) -> None:
    made = bench.make(case)
    assert error_of(made.logits, trained_logits(made)) < TOLERANCE


@over_families
@over_cases
def test_a_row_alone_answers_as_in_any_mixed_batch(bench: Bench, case: Case) -> None:
    made = bench.make(case)
    others = [bench.make(other) for other in CASES]
    others.append(bench.make(Case(Task.SINGLE_LABEL, prompt_text="is it bad or good, very good?")))
    batch = [(row, made.adapter) for row in made.rows]
    for other in others:
        batch += [(row, other.adapter) for row in other.rows[:2]]
    shuffled = torch.randperm(len(batch), generator=torch.Generator().manual_seed(1)).tolist()
    mixed = made.classifier.logits([batch[i] for i in shuffled])
    found = [mixed[shuffled.index(i)] for i in range(len(made.rows))]
    alone = [made.classifier.logits([(row, made.adapter)])[0] for row in made.rows]
    assert error_of(found, alone) < TOLERANCE


@over_families
@over_cases
def test_a_step_reaches_the_prompt_and_leaves_the_base(bench: Bench, case: Case) -> None:
    made = bench.make(case)
    for name, gradient in made.gradients.items():
        assert gradient.abs().max() > 0, name
        assert torch.isfinite(gradient).all(), name
    base = bench.base
    assert base_digest(base.model, base.tokenizer.backend_tokenizer) == base.identity.digest
    assert all(p.grad is None and not p.requires_grad for p in base.model.parameters())


@pytest.mark.parametrize("bench", [f.name for f in FAMILIES if f.path == "packed"], indirect=True)
def test_a_step_reaches_the_keys_and_values_of_every_layer(bench: Bench) -> None:
    made = bench.make(Case(Task.SINGLE_LABEL, transform=Transform.DIRECT))
    kv = made.gradients["encoder.map.delta"]  # (L, 2, n_kv, P, D)
    assert (kv.abs().amax(dim=(2, 3, 4)) > 0).all()


@pytest.mark.parametrize("bench", CAUSAL, indirect=True)
def test_a_causal_prompts_cached_keys_and_values_equal_the_uncached_forward(
    bench: Bench,
) -> None:
    made = bench.make(Case(Task.SINGLE_LABEL, Method.SK_PROMPT))
    encoder = made.trainable.encoder
    assert isinstance(encoder, SoftPromptEncoder)
    assert made.adapter.state.kv is not None
    embeds = encoder.embeds().detach()
    expected = [
        through_head(bench.cached.in_the_row(row.ids, embeds), row, made.adapter)
        for row in made.rows
    ]
    assert error_of(made.logits, expected) < TOLERANCE


@pytest.mark.parametrize(
    "bench", [name for name in CAUSAL if BY_NAME[name].path == "packed"], indirect=True
)
@pytest.mark.parametrize("method", list(Method))
def test_the_stock_models_own_cache_answers_the_same(bench: Bench, method: Method) -> None:
    made = bench.make(Case(Task.SINGLE_LABEL, method))
    assert made.adapter.state.kv is not None
    expected = [
        through_head(
            bench.cached.after_prefix(row.ids, made.adapter.state.kv, made.adapter.state.length),
            row,
            made.adapter,
        )
        for row in made.rows
    ]
    assert error_of(made.logits, expected) < TOLERANCE
