"""Texts to token ids: special tokens, pairs, cutting, words."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sktuning.base import FrozenBase
from sktuning.config import AdapterConfig, BaseIdentity, Method, Task, TextOffset
from sktuning.data import TextInput
from sktuning.errors import InputError, InputTooLong
from sktuning.tokens import EncodedRow, Encoder

BASE = BaseIdentity("any", "sha256:" + "0" * 64)
SINGLE = AdapterConfig(Task.SINGLE_LABEL, ("a", "b"), BASE, num_virtual_tokens=4)
PAIR = replace(SINGLE, is_pair=True)
TOKENS = AdapterConfig(Task.TOKENS, ("O", "B-x"), BASE, num_virtual_tokens=4)


@pytest.fixture(scope="module")
def encoder(tiny_bert: FrozenBase) -> Encoder:
    return Encoder(tiny_bert.tokenizer, is_causal=False, max_length=tiny_bert.max_length)


@pytest.fixture(scope="module")
def causal(tiny_gpt2: FrozenBase) -> Encoder:
    return Encoder(tiny_gpt2.tokenizer, is_causal=True, max_length=tiny_gpt2.max_length)


def encode_one(encoder: Encoder, item: TextInput, config: AdapterConfig) -> EncodedRow:
    row = encoder.encode([item], config)[0]
    assert isinstance(row, EncodedRow)
    return row


def test_an_encoder_text_has_its_special_tokens_and_a_prompt_has_none(encoder: Encoder) -> None:
    row = encode_one(encoder, TextInput("the text"), SINGLE)
    assert len(row) == 4  # [CLS] the text [SEP]
    assert encoder.prompt_ids("the text") == list(row.ids[1:3])


def test_a_causal_text_has_no_special_tokens_and_a_prompt_begins_the_sequence(
    causal: Encoder,
) -> None:
    row = encode_one(causal, TextInput("abc"), SINGLE)
    assert len(row) == 3
    assert causal.prompt_ids("abc") == [1, *row.ids]


def test_a_long_text_is_cut_and_says_by_how_much(encoder: Encoder) -> None:
    row = encode_one(encoder, TextInput("good " * 200), SINGLE)
    assert (len(row), row.num_dropped) == (128, 74)
    whole = encode_one(encoder, TextInput("good " * 126), SINGLE)
    assert (len(whole), whole.num_dropped) == (128, 0)
    assert row.ids == whole.ids


def test_a_long_text_is_refused_where_cutting_was_refused(encoder: Encoder) -> None:
    error = encoder.encode([TextInput("good " * 200)], SINGLE, truncate=False)[0]
    assert isinstance(error, InputTooLong)
    assert "202 tokens" in str(error)
    assert "128" in str(error)


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"text_offset": TextOffset.AFTER_PROMPT}, 124),
        ({"method": Method.SK_PROMPT}, 124),
        ({}, 128),
    ],
)
def test_the_limit_makes_room_for_the_prompt_where_it_takes_any(
    encoder: Encoder, changes: dict[str, object], limit: int
) -> None:
    config = replace(SINGLE, **changes)  # type: ignore[arg-type]
    assert len(encode_one(encoder, TextInput("good " * 300), config)) == limit


@pytest.mark.parametrize(("first", "second"), [(300, 5), (5, 300), (300, 300), (64, 65), (65, 64)])
def test_of_a_pair_the_longer_text_is_cut(encoder: Encoder, first: int, second: int) -> None:
    item = TextInput("good " * first, "bad " * second)
    row = encode_one(encoder, item, PAIR)
    assert len(row) == 128
    assert row.num_dropped == first + second + 3 - 128
    good, bad = encoder.prompt_ids("good")[0], encoder.prompt_ids("bad")[0]
    counts = row.ids.count(good), row.ids.count(bad)
    assert sum(counts) == 125
    assert min(counts) >= min(first, second, 62)
    assert row.type_ids.count(1) == counts[1] + 1  # the second text and its [SEP]


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_an_empty_text_is_an_error_of_its_own_item_only(encoder: Encoder, text: str) -> None:
    rows = encoder.encode([TextInput("good"), TextInput(text), TextInput("bad")], SINGLE)
    assert isinstance(rows[1], InputError)
    assert "empty" in str(rows[1])
    assert isinstance(rows[0], EncodedRow)
    assert isinstance(rows[2], EncodedRow)


def test_an_unpaired_surrogate_is_an_error_of_its_own_item_only(encoder: Encoder) -> None:
    rows = encoder.encode([TextInput("bad \ud800 text"), TextInput("good")], SINGLE)
    assert isinstance(rows[0], InputError)
    assert isinstance(rows[1], EncodedRow)


@pytest.mark.parametrize(
    ("item", "config", "says"),
    [
        (TextInput("a"), PAIR, "pairs"),
        (TextInput("a", "b"), SINGLE, "single texts"),
        (TextInput(tokens=("a",)), SINGLE, "texts, not rows"),
    ],
)
def test_an_input_of_the_wrong_kind_says_what_is_read(
    encoder: Encoder, item: TextInput, config: AdapterConfig, says: str
) -> None:
    error = encoder.encode([item], config)[0]
    assert isinstance(error, InputError)
    assert says in str(error)


def test_each_word_knows_its_first_token(encoder: Encoder) -> None:
    row = encode_one(encoder, TextInput(tokens=("good", "xyz", "bad")), TOKENS)
    assert row.words == ((0, 4), (5, 8), (9, 12))
    assert row.word_index == (1, 2, 5)  # [CLS] good x ##y ##z bad [SEP]


def test_a_text_for_token_classification_is_split_at_white_space(encoder: Encoder) -> None:
    row = encode_one(encoder, TextInput("  good   bad,bad "), TOKENS)
    assert row.words == ((2, 6), (9, 16))
    assert row.word_index == (1, 2)


def test_words_without_tokens_or_cut_off_have_no_position(encoder: Encoder) -> None:
    row = encode_one(encoder, TextInput(tokens=("good", "\u200d", "bad", *["the"] * 200)), TOKENS)
    assert row.word_index is not None
    assert row.word_index[:3] == (1, -1, 2)
    assert row.word_index[-1] == -1
    assert sum(1 for at in row.word_index if at >= 0) == 126


def test_words_in_a_byte_level_vocabulary_start_where_they_are_seen(causal: Encoder) -> None:
    row = encode_one(causal, TextInput(tokens=("ab", "c")), TOKENS)
    assert row.word_index is not None
    assert row.word_index[0] == 0
    assert row.word_index[1] in (2, 3)  # the space before it may be its first token


@given(st.lists(st.text(max_size=20), min_size=1, max_size=8))
def test_every_item_gets_exactly_one_outcome_within_the_limit(
    tiny_bert: FrozenBase, texts: list[str]
) -> None:
    encoder = Encoder(tiny_bert.tokenizer, is_causal=False, max_length=16)
    rows = encoder.encode([TextInput(text) for text in texts], SINGLE)
    assert len(rows) == len(texts)
    for row in rows:
        assert isinstance(row, InputError) or 3 <= len(row) <= 16


def test_threads_with_different_limits_do_not_disturb_each_other(encoder: Encoder) -> None:
    item = TextInput("good " * 100)

    def lengths(limit: int) -> set[int]:
        rows = (encoder.encode([item], SINGLE, max_length=limit)[0] for _ in range(50))
        return {len(row) for row in rows if isinstance(row, EncodedRow)}

    limits = (8, 16, 32, 64)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lengths, limits)) == [{limit} for limit in limits]
