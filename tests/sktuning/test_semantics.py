"""What a prompt starts from."""

from dataclasses import replace

import pytest
import torch

from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import Start, Transform
from sktuning.methods import default_start
from sktuning.semantics import Semantics, started


@pytest.fixture
def words(tiny_bert: FrozenBase) -> Semantics:
    return Classifier(tiny_bert).semantics.get("good or bad, great or awful?")


def test_words_told_apart_are_orthogonal_and_sum_to_nothing(words: Semantics) -> None:
    kv = started(words, Start.SPREAD, 0).kv
    count, dim = kv.shape[-2:]
    # the mean is left out: one direction fewer than words, where the head has room for them
    rank = min(count - 1, dim)
    assert torch.allclose(kv.sum(-2), torch.zeros(()), atol=1e-4)
    sizes = torch.linalg.svdvals(kv)
    assert torch.allclose(sizes[..., :rank], sizes[..., :1], rtol=1e-3)
    assert torch.allclose(sizes[..., rank:], torch.zeros(()), atol=1e-4)


def test_words_told_apart_keep_their_span_and_scale(words: Semantics) -> None:
    kv = started(words, Start.SPREAD, 0).kv
    centred = words.kv - words.kv.mean(-2, keepdim=True)
    projection = torch.linalg.pinv(centred, rtol=1e-3) @ centred
    assert torch.allclose(kv @ projection, kv, atol=1e-3)
    for which, scale in enumerate((1.0, 0.3)):
        own, expected = kv[:, which].norm(dim=(-2, -1)), centred[:, which].norm(dim=(-2, -1))
        assert torch.allclose(own, scale * expected, rtol=1e-3)


def test_one_word_has_nothing_to_be_told_apart_from(words: Semantics) -> None:
    one = replace(words, ids=words.ids[:1], kv=words.kv[..., :1, :], embeds=words.embeds[:1])
    assert not started(one, Start.SPREAD, 0).kv.any()
    # but a unit, so that it is trained
    assert (one.kv_unit > 0).all()
    assert (one.embeds_unit > 0).all()


def test_noise_has_the_scale_of_the_words_and_is_the_same_for_the_same_seed(
    words: Semantics,
) -> None:
    first, again, other = (started(words, Start.RANDOM, seed).kv for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float(first.std()) == pytest.approx(float(words.kv.std()), rel=0.1)


def test_the_start_suits_base_and_transform(tiny_bert: FrozenBase, tiny_gpt2: FrozenBase) -> None:
    assert default_start(tiny_bert, Transform.DIRECT) is Start.SPREAD
    assert default_start(tiny_bert, Transform.LOW_RANK) is Start.SPREAD
    assert default_start(tiny_bert, Transform.FROZEN) is Start.SEMANTIC
    assert default_start(tiny_gpt2, Transform.DIRECT) is Start.SEMANTIC


def test_embeddings_are_told_apart_too(words: Semantics) -> None:
    embeds = started(words, Start.SPREAD, 0).embeds
    centred = words.embeds - words.embeds.mean(0)
    rank = int(torch.linalg.matrix_rank(centred, rtol=1e-3))  # a word that comes twice counts once
    sizes = torch.linalg.svdvals(embeds)
    assert torch.allclose(sizes[:rank], sizes[:1].expand(rank), rtol=1e-3)
    assert float(embeds.norm()) == pytest.approx(float(centred.norm()), rel=1e-3)
