"""The frozen base: what it says of itself and what it refuses."""

import threading
from concurrent.futures import ThreadPoolExecutor

import bases
import pytest
import torch
import transformers

from sktuning.base import FrozenBase
from sktuning.config import BaseIdentity
from sktuning.errors import BaseLoadError, BaseMismatch, UnsupportedBase
from sktuning.fingerprint import base_digest
from sktuning.rows import Row


def test_a_tiny_base_is_packed_and_frozen(tiny_bert: FrozenBase) -> None:
    assert tiny_bert.path == "packed"
    assert tiny_bert.why_padded is None
    assert not tiny_bert.is_causal
    assert not any(p.requires_grad for p in tiny_bert.model.parameters())


def test_a_folder_and_the_model_in_memory_have_the_same_identity(
    tiny_bert: FrozenBase, tiny_bert_folder: object
) -> None:
    loaded = FrozenBase.load(str(tiny_bert_folder))
    assert loaded.identity.digest == tiny_bert.identity.digest
    assert loaded.identity.name == "tiny-bert"


def test_one_changed_weight_is_another_base(tiny_bert: FrozenBase) -> None:
    other = bases.tiny_bert_base()
    with torch.no_grad():
        next(other.model.parameters()).view(-1)[0] += 1e-3
    changed = base_digest(other.model, other.tokenizer.backend_tokenizer)
    assert changed != tiny_bert.identity.digest


def test_the_default_base_is_the_original_minilm(minilm: FrozenBase) -> None:
    assert (minilm.family, minilm.num_layers, minilm.hidden_size) == ("bert", 6, 384)
    assert minilm.max_length == 512
    assert minilm.path == "packed"


def test_an_adapter_of_another_base_is_refused_with_both_names(tiny_bert: FrozenBase) -> None:
    other = BaseIdentity("elsewhere", "sha256:" + "0" * 64)
    with pytest.raises(BaseMismatch, match=r"elsewhere.*tiny-bert"):
        tiny_bert.check(other)


@pytest.mark.parametrize("source", ["./nothing-here", "/nothing/here.gguf"])
def test_a_place_without_a_model_is_refused(source: str) -> None:
    with pytest.raises(BaseLoadError, match="nothing"):
        FrozenBase.load(source)


def test_a_family_that_shares_its_layers_is_refused_by_name() -> None:
    tokenizer = bases.wordpiece_tokenizer()
    config = transformers.AlbertConfig(vocab_size=len(tokenizer), embedding_size=16, **bases.WIDTHS)
    with pytest.raises(UnsupportedBase, match="albert"):
        FrozenBase.from_model(bases.tiny_model(config), tokenizer, "tiny-albert")


def test_rows_of_a_batch_do_not_see_each_other(tiny_bert: FrozenBase) -> None:
    rows = [Row(ids, [0] * len(ids)) for ids in ([5, 6, 7], [9, 8, 7, 6, 5, 4, 3], [10, 11])]
    with torch.no_grad():
        together = tiny_bert.forward(rows)
        alone = torch.cat([tiny_bert.forward([row]).flat for row in rows])
    assert together.lengths == (3, 7, 2)
    assert torch.allclose(together.flat, alone, atol=1e-5)


def test_a_text_beyond_the_positions_of_one_sequence_fits_a_packed_row(
    tiny_bert: FrozenBase,
) -> None:
    rows = [Row([5] * 100, [0] * 100) for _ in range(4)]  # 400 tokens, 128 positions
    with torch.no_grad():
        out = tiny_bert.forward(rows)
    assert out.flat.shape == (400, 32)
    assert torch.allclose(out.flat[:100], out.flat[300:], atol=1e-5)


def test_a_prompt_is_read_alone_while_another_thread_runs_the_base(tiny_bert: FrozenBase) -> None:
    embeds = torch.randn(3, tiny_bert.hidden_size, generator=torch.Generator().manual_seed(0))
    alone = tiny_bert.capture(embeds).hidden
    rows = [Row(range(5, 30), [0] * 25)]
    ended = threading.Event()

    def run_until_ended() -> None:
        while not ended.is_set():
            tiny_bert.forward(rows)

    with ThreadPoolExecutor(1) as other:
        running = other.submit(run_until_ended)
        try:
            for _ in range(50):
                assert torch.equal(tiny_bert.capture(embeds).hidden, alone)
        finally:
            ended.set()
        running.result()


def test_a_family_that_drops_our_arguments_is_padded() -> None:
    tokenizer = bases.byte_tokenizer()
    config = transformers.StableLmConfig(
        vocab_size=len(tokenizer), num_key_value_heads=4, **bases.WIDTHS
    )
    base = FrozenBase.from_model(bases.tiny_model(config), tokenizer, "tiny-stablelm")
    assert base.path == "padded"
    assert base.why_padded is not None
    assert "drops it" in base.why_padded


def test_a_family_with_attention_sinks_is_padded_and_says_so() -> None:
    tokenizer = bases.byte_tokenizer()
    config = transformers.GptOssConfig(
        vocab_size=len(tokenizer), head_dim=8, num_key_value_heads=2, num_local_experts=2,
        num_experts_per_tok=1, pad_token_id=0, **bases.WIDTHS,
    )  # fmt: skip
    base = FrozenBase.from_model(bases.tiny_model(config), tokenizer, "tiny-gpt-oss")
    assert base.path == "padded"
    assert "sinks" in str(base.why_padded)
