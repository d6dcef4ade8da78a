"""Texts to token ids: one tokenizer configured once, cut to the limit by us, item by item."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tokenizers import Encoding, Tokenizer

from sktuning.config import AdapterConfig, Method, Task, TextOffset
from sktuning.data import TextInput
from sktuning.errors import InputError, InputTooLong


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """One input as the base reads it.

    Attributes:
        ids: token ids, special tokens included.
        type_ids: one a token.
        num_dropped: tokens that were cut off.
        words: character span of each word, (start, end); token classification only.
        word_index: position in `ids` of each word's first token; -1: it was cut off or has none.
    """

    ids: tuple[int, ...]
    type_ids: tuple[int, ...]
    num_dropped: int = 0
    words: tuple[tuple[int, int], ...] | None = None
    word_index: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)


class Encoder:
    """Thread-safe: the tokenizer is never reconfigured after construction.

    Args:
        tokenizer: transformers' tokenizer with a fast backend.
        is_causal: whether the base is causal; then no special tokens are added to texts, unless
            the adapter's configuration asks for them.
        max_length: tokens a row may have, prompt included.
    """

    def __init__(self, tokenizer: Any, *, is_causal: bool, max_length: int) -> None:
        # a copy: the packaged tokenizer pads and cuts to 128, and others may share it
        self._tokenizer: Tokenizer = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._bos = tokenizer.bos_token_id if is_causal else None
        self._is_causal = is_causal
        self._max_length = max_length

    def prompt_ids(self, text: str) -> list[int]:
        """Ids of a prompt text: no special tokens, but the beginning of sequence where one is."""
        ids = list(self._tokenizer.encode(text, add_special_tokens=False).ids)
        return ids if self._bos is None else [self._bos, *ids]

    def limit(self, config: AdapterConfig) -> int:
        """Tokens a text may have with this adapter."""
        in_row = config.method is Method.SK_PROMPT and not self._is_causal
        if in_row or config.text_offset is TextOffset.AFTER_PROMPT:
            return self._max_length - config.num_virtual_tokens
        return self._max_length

    def encode(
        self,
        inputs: Sequence[TextInput],
        config: AdapterConfig,
        *,
        truncate: bool = True,
        max_length: int | None = None,
    ) -> list[EncodedRow | InputError]:
        """Encode each input; what cannot be encoded is returned as its error, not raised.

        Args:
            truncate: False makes an input beyond the limit an `InputTooLong`.
            max_length: a lower limit than the base's.
        """
        limit = min(self.limit(config), max_length or self._max_length)
        return [self._encode_one(item, config, limit, truncate) for item in inputs]

    def _encode_one(
        self, item: TextInput, config: AdapterConfig, limit: int, truncate: bool
    ) -> EncodedRow | InputError:
        try:
            _check_kind(item, config)
            return self._cut(item, config, limit, truncate)
        except InputError as error:
            return error
        except (UnicodeError, TypeError) as error:  # an unpaired surrogate, say
            return InputError(f"the text is not valid Unicode: {error}")

    def _cut(
        self, item: TextInput, config: AdapterConfig, limit: int, truncate: bool
    ) -> EncodedRow:
        text, words = _text_and_words(item, config)
        encoding = self._encoding(text, item.text_pair, config)
        if all(encoding.special_tokens_mask):
            raise InputError("the text is empty: it has no tokens")
        ids, type_ids = encoding.ids, encoding.type_ids  # read once: each reading is a copy
        keep = _kept_tokens(encoding, limit)
        dropped = len(ids) - len(keep)
        if dropped and not truncate:
            raise InputTooLong(f"the text has {len(ids)} tokens; the limit is {limit}")
        row = EncodedRow(tuple(ids[i] for i in keep), tuple(type_ids[i] for i in keep), dropped)
        if words is None:
            return row
        return replace(row, words=words, word_index=_first_tokens(encoding, keep, words))

    def _encoding(self, text: str, pair: str | None, config: AdapterConfig) -> Encoding:
        if pair is not None and config.pair_template:
            text, pair = _filled(config.pair_template, text, pair), None
        is_special = config.adds_special_tokens or not self._is_causal
        return self._tokenizer.encode(text, pair, add_special_tokens=is_special)


def _filled(template: str, text: str, text_pair: str) -> str:
    """The template with both texts; nothing in it but the two fields is a format."""
    values = {"{text}": text, "{text_pair}": text_pair}
    return re.sub(r"\{text(_pair)?\}", lambda field: values[field[0]], template)


def _check_kind(item: TextInput, config: AdapterConfig) -> None:
    if config.is_pair and item.text_pair is None:
        raise InputError("this adapter compares two texts: send pairs")
    if not config.is_pair and item.text_pair is not None:
        raise InputError("this adapter reads single texts, not pairs")
    if item.tokens is not None and config.task is not Task.TOKENS:
        raise InputError("this adapter reads texts, not rows of tokens")


def _text_and_words(
    item: TextInput, config: AdapterConfig
) -> tuple[str, tuple[tuple[int, int], ...] | None]:
    """The text, and for token classification where its words are."""
    if config.task is not Task.TOKENS:
        return item.text, None
    if item.tokens is None:
        return item.text, tuple(_word_spans(item.text))
    spans, at = [], 0
    for word in item.tokens:
        spans.append((at, at + len(word)))
        at += len(word) + 1
    return " ".join(item.tokens), tuple(spans)


def _word_spans(text: str) -> list[tuple[int, int]]:
    """Character spans of what white space separates."""
    spans, at = [], 0
    for word in text.split():
        start = text.index(word, at)
        at = start + len(word)
        spans.append((start, at))
    return spans


def _kept_tokens(encoding: Encoding, limit: int) -> Sequence[int]:
    """Positions to keep: all special tokens, and of the longer text the fewer."""
    if len(encoding) <= limit:
        return range(len(encoding))
    sides = encoding.sequence_ids  # None marks special tokens
    counts = [sides.count(0), sides.count(1)]
    room = max(limit - sides.count(None), 0)
    shorter = min(counts)
    quota = [min(c, max(room // 2, room - shorter)) for c in counts]
    if sum(quota) < room:  # an odd token over
        quota[0] += min(room - sum(quota), counts[0] - quota[0])
    kept, used = [], [0, 0]
    for position, side in enumerate(sides):
        if side is not None:
            used[side] += 1
            if used[side] > quota[side]:
                continue
        kept.append(position)
    return kept


def _first_tokens(
    encoding: Encoding, keep: Sequence[int], words: Sequence[tuple[int, int]]
) -> tuple[int, ...]:
    """For each word the position, among the kept tokens, of the first token that it shares."""
    first = [-1] * len(words)
    offsets, is_special = encoding.offsets, encoding.special_tokens_mask
    word = 0
    for position, token in enumerate(keep):
        start, end = offsets[token]
        if is_special[token] or end <= start:
            continue
        while word < len(words) and words[word][1] <= end - 1:
            word += 1
        if word < len(words) and words[word][0] < end and first[word] < 0:
            first[word] = position
    return tuple(first)
