"""Every method of the method benchmark, on tiny bases: what it reads, and what it trains."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import bases
import numpy as np
import pytest
import torch
from contending import PROMPT, TASKS, Staged, staged
from contest import rates
from contest.bodies import SemanticBody, StockBody
from contest.contender import Headed
from contest.heads import Bent, LayerMix, MeanAndMax
from contest.judge import Judge
from contest.methods import RANK, adapter_method
from contest.rates import ENTRANTS
from contest.virtual import VirtualBody
from oracle import Plain
from tiny_families import BY_NAME
from torch import Tensor
from workbench import Case

from sktuning.config import AdapterSpec
from sktuning.errors import UnsupportedBase
from sktuning.tokens import EncodedRow
from sktuning.training.trainer import Trainer

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is_gradient_checkpointing.*:FutureWarning"  # PEFT asks transformers the old way
)
SINGLE = TASKS[0]
VIRTUAL = (rates.PREFIX, rates.PROMPT, rates.PROMPT_WORDS, rates.P_TUNING)
CAUSAL = tuple(method for method in ENTRANTS if method != rates.OWN_HEAD)
HEADS = (MeanAndMax, LayerMix, Bent)
TOLERANCE = 1e-4


@pytest.mark.parametrize("case", TASKS, ids=str)
@pytest.mark.parametrize("method", ENTRANTS)
def test_rows_do_not_touch_each_other_and_steps_move_what_is_trained(
    method: str, case: Case, tiny_bert_folder: Path
) -> None:
    made = staged(method, case, folder=tiny_bert_folder)
    _check_alone(made)
    model = made.stage.base.model
    frozen = {n: p.clone() for n, p in model.named_parameters() if not p.requires_grad}
    _check_moves(made, method)
    after = dict(model.named_parameters())
    assert [n for n, p in frozen.items() if not torch.equal(p, after[n])] == []
    assert bool(frozen) == (method != rates.FULL)


@pytest.mark.parametrize("case", TASKS, ids=str)
@pytest.mark.parametrize("head", HEADS)
def test_the_heads_of_the_ablation_are_trained_whole(
    head: type[Headed], case: Case, tmp_path: Path
) -> None:
    plain = staged(rates.SK_PREFIX, case, folder=tmp_path)
    stage = plain.stage
    made = replace(plain, contender=head(SemanticBody(stage), stage))
    _check_alone(made)
    _check_moves(made, rates.SK_PREFIX)
    assert _count(made.contender.head) > _count(plain.contender.head)


@pytest.mark.parametrize("method", CAUSAL)
def test_a_row_alone_gets_the_same_answer_on_a_causal_base(method: str, tmp_path: Path) -> None:
    made = staged(method, SINGLE, base=BY_NAME["llama"].base(), folder=tmp_path)
    _check_alone(made)
    _check_moves(made, method)


def test_the_own_head_is_refused_on_a_causal_base(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedBase, match="encoders"):
        staged(rates.OWN_HEAD, SINGLE, base=BY_NAME["llama"].base(), folder=tmp_path)


@pytest.mark.parametrize("method", VIRTUAL)
def test_virtual_tokens_are_what_the_oracle_says_they_are(method: str, tmp_path: Path) -> None:
    """A second implementation reads the same prompt; texts begin after it, as PEFT has it."""
    made = staged(method, TASKS[1], folder=tmp_path)
    body = _virtual(made)
    length = made.stage.config.num_virtual_tokens
    tokenizer = bases.wordpiece_tokenizer()
    oracle = Plain(bases.tiny_model(bases.tiny_bert_config(len(tokenizer))))
    rows = [example.row for example in made.examples]
    with torch.no_grad():
        hidden, prompt = body.hidden(rows), body.peft.get_prompt(1)
    given = {"kv": _stacked(prompt)} if method == rates.PREFIX else {"embeds": prompt[0]}
    expected = [
        oracle.hidden(r.ids, r.type_ids, offset=length, uses_types=True, **given) for r in rows
    ]
    assert hidden.lengths == tuple(len(row) for row in rows)
    assert float((hidden.flat - torch.cat(expected)).abs().max()) < TOLERANCE


@pytest.mark.parametrize("method", VIRTUAL)
def test_without_token_types_the_forward_is_that_of_peft(method: str, tmp_path: Path) -> None:
    made = staged(method, SINGLE, base=BY_NAME["llama"].base(), folder=tmp_path)
    body = _virtual(made)
    row = made.examples[1].row
    ids = torch.tensor([row.ids])
    with torch.no_grad():
        states = body.peft(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        seen = body.hidden([row, made.examples[2].row])
    assert torch.allclose(seen.flat[: len(row)], states[0, -len(row) :], atol=1e-5)


@pytest.mark.parametrize("method", [rates.SK_PREFIX, rates.SK_PROMPT])
def test_sk_tuning_is_trained_as_the_product_trains_it(method: str, tmp_path: Path) -> None:
    made = staged(method, SINGLE, folder=tmp_path)
    loop = made.loop(method, epochs=2)
    loop.warm_start()
    assert list(loop.run(1)) == [4]
    # so that the last step is kept, and by the loss that all contenders have
    settings = replace(loop.training, evaluations=1, patience=0, prototypes=False)
    spec = AdapterSpec(adapter_method(method), prompt_text=PROMPT, training=settings)
    trainer = Trainer(bases.tiny_bert_base(), made.dataset, spec)
    assert len([p for p in trainer.run() if p.phase == "training"]) == 4
    trained = trainer.finish().trainable
    ours = [*made.contender.own, *made.contender.head]
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(ours, trained.values(), strict=True))


def test_lora_begins_as_the_frozen_model(tmp_path: Path) -> None:
    lora = staged(rates.LORA, SINGLE, folder=tmp_path)
    frozen = staged(rates.LOGISTIC, SINGLE, folder=tmp_path)
    assert torch.allclose(_pooled(lora), _pooled(frozen), atol=1e-6)


def test_lora_is_in_query_and_value(tmp_path: Path) -> None:
    made = staged(rates.LORA, SINGLE, folder=tmp_path)
    names = made.contender.served().keys() - {"head.weight", "head.bias"}
    assert {name.split(".")[-3] for name in names} == {"query", "value"}
    layers, width = 2, 32
    assert sum(p.numel() for p in made.contender.own) == layers * 2 * 2 * RANK * width


def test_the_words_are_where_the_prompt_started_from_them_begins(tmp_path: Path) -> None:
    made = staged(rates.PROMPT_WORDS, SINGLE, folder=tmp_path)
    (virtual,) = made.contender.own
    assert torch.equal(virtual, made.stage.semantics.embeds)


def test_every_prompt_method_has_as_many_virtual_tokens(tmp_path: Path) -> None:
    lengths = {
        method: _virtual(staged(method, SINGLE, folder=tmp_path)).peft.get_prompt(1).shape[1]
        for method in VIRTUAL
        if method != rates.PREFIX
    }
    prefix = _virtual(staged(rates.PREFIX, SINGLE, folder=tmp_path))
    lengths[rates.PREFIX] = prefix.peft.get_prompt(1).get_seq_length()
    assert set(lengths.values()) == {3}  # classify the text


def test_the_frozen_features_are_those_of_the_packed_forward(tmp_path: Path) -> None:
    made = staged(rates.LOGISTIC, SINGLE, folder=tmp_path)
    other = staged(rates.SK_PREFIX, SINGLE, folder=tmp_path).stage
    expected = other.classifier.features([e.row for e in made.examples], other.config)
    assert np.allclose(_pooled(made).numpy(), np.stack(expected), atol=1e-5)


def _check_alone(made: Staged) -> None:
    """In training, judging and warm start rows stand beside others; none may change another."""
    contender, rows = made.contender, [example.row for example in made.examples]
    contender.set_training(False)
    config = made.stage.config
    judge = Judge(config, rows, [0.0] * len(rows), made.objective.scale, "")
    together = judge.answers(contender)
    for row, answer in zip(rows, together, strict=True):
        alone = Judge(config, [row], [0.0], made.objective.scale, "").answers(contender)[0]
        assert np.allclose(alone, answer, atol=TOLERANCE)
        assert len(answer) == (len(row.word_index or ()) or config.num_outputs)


def _check_moves(made: Staged, method: str) -> None:
    """Gradient reaches every parameter of the method and of the head."""
    contender, loop = made.contender, made.loop(method)
    loop.warm_start()
    own, head = _copies(contender.own), _copies(contender.head)
    assert list(loop.run(2)) == [1, 2]
    assert bool(own) == (method != rates.LOGISTIC)
    assert _all_moved(own, contender.own)
    assert _all_moved(head, contender.head)


def _count(parameters: Iterable[Tensor]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _virtual(made: Staged) -> VirtualBody:
    body = _body(made)
    assert isinstance(body, VirtualBody)
    return body


def _body(made: Staged) -> object:
    assert isinstance(made.contender, Headed)
    return made.contender.body


@torch.no_grad()
def _pooled(made: Staged) -> Tensor:
    assert isinstance(made.contender, Headed)
    assert isinstance(made.contender.body, StockBody)
    rows: list[EncodedRow] = [example.row for example in made.examples]
    return made.contender.pooled(rows)


def _stacked(cache: object) -> Tensor:
    """PEFT's cache as (L, 2, n_kv, P, D)."""
    layers = cache.layers  # type: ignore[attr-defined] # transformers has no types
    return torch.stack([torch.stack([layer.keys[0], layer.values[0]]) for layer in layers])


def _copies(parameters: list[torch.nn.Parameter]) -> list[Tensor]:
    return [p.detach().clone() for p in parameters]


def _all_moved(before: list[Tensor], after: list[torch.nn.Parameter]) -> bool:
    return all(not torch.equal(b, a) for b, a in zip(before, after, strict=True))
