"""Logits to answers: probabilities, decisions and the item a client gets for each input."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sktuning.config import AdapterConfig, Task
from sktuning.data import TextInput
from sktuning.entities import OUTSIDE, WordSpan, word_spans
from sktuning.errors import ConfigError, InputError

Array = NDArray[np.floating[Any]]
Scores = Literal["prob", "logit", "none"]
DEFAULT_THRESHOLD = 0.5  # multi-label
_DIGITS = 6


class DecodableRow(Protocol):
    """What decoding needs to know of an encoded input."""

    @property
    def num_dropped(self) -> int:
        """Tokens that were cut off."""

    @property
    def words(self) -> Sequence[tuple[int, int]] | None:
        """Characters (start, end) of each word in the text, for token classification."""

    @property
    def word_index(self) -> Sequence[int] | None:
        """Where each word's first token is; below 0 for a word that was cut off or has none."""


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """How answers are to be given.

    Attributes:
        top_k: at most so many labels and scores an item, the best; None: all. Tokens: ignored.
        threshold: a probability. Single-label: a best label below it is given, but with
            ``"abstain": true``. Multi-label: replaces the adapter's thresholds. Tokens: entities
            with a lower score are left out. Regression: ignored.
        scores: probabilities (after temperature), logits (before it), or no scores at all.
        max_risk: the share of wrong answers that is acceptable. Single-label: answers that are less
            sure than the adapter's held-out rows ask for get ``"abstain": true``. Others: refused.

    Raises:
        ConfigError: a value that cannot work.
    """

    top_k: int | None = None
    threshold: float | None = None
    scores: Scores = "prob"
    max_risk: float | None = None

    def __post_init__(self) -> None:
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top_k must be at least 1, got {self.top_k}")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ConfigError(f"threshold must be between 0 and 1, got {self.threshold}")
        if self.scores not in ("prob", "logit", "none"):
            raise ConfigError(f"scores must be prob, logit or none, got {self.scores!r}")
        if self.max_risk is not None and not 0 < self.max_risk <= 1:
            raise ConfigError(f"max_risk must be above 0 and at most 1, got {self.max_risk}")


def decode(
    config: AdapterConfig,
    row: DecodableRow,
    item: TextInput,
    logits: Array,
    options: DecodeOptions,
) -> dict[str, Any]:
    """The answer for one input, as plain JSON values.

    Args:
        config: of the adapter that gave the logits.
        row: the input as it was encoded.
        item: the input as it came.
        logits: (C,); tokens: (words, C), NaN for the words that were cut off.
        options: what the client asked for.

    Returns:
        By task: ``label, score, scores`` | ``labels, scores`` | ``value`` | ``entities``, and
        ``tags`` when the input came as words. ``truncated``: tokens dropped, if any. An entity's
        score is the mean over its words; words that were cut off are tagged "O".

    Raises:
        InputError: the logits are not finite.
    """
    if not np.isfinite(_known(row, logits)).all():
        raise InputError("the model gave no finite answer for this input")
    if config.task is Task.TOKENS:
        answer = _tokens(config, row, item, logits, options)
    else:
        answer = _DECODERS[config.task](config, logits, options)
    return {**answer, "truncated": row.num_dropped} if row.num_dropped else answer


def probabilities(config: AdapterConfig, logits: Array) -> NDArray[np.float64]:
    """Softmax over the last axis, or sigmoid for multi-label, of the logits over temperature.

    Stable at any size of finite logits; (…, C) to (…, C).
    """
    scaled = logits.astype(np.float64) / config.temperature
    if config.task is Task.MULTI_LABEL:
        small = np.exp(-np.abs(scaled))  # never overflows
        return np.where(scaled >= 0, 1 / (1 + small), small / (1 + small))
    weights = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def thresholds(config: AdapterConfig) -> NDArray[np.float64]:
    """The probability from which each label of a multi-label task holds, (C,)."""
    if config.thresholds:
        return np.asarray(config.thresholds, dtype=np.float64)
    return np.full(config.num_outputs, DEFAULT_THRESHOLD)


def risk_threshold(config: AdapterConfig, max_risk: float | None) -> float:
    """The probability below which an answer is not to be relied on at this risk; 0.0: any will do.

    Raises:
        ConfigError: nothing was measured that vouches for so small a risk.
    """
    if max_risk is None:
        return 0.0
    if config.task is not Task.SINGLE_LABEL:
        raise ConfigError(f"max_risk is for single-label adapters; this one is {config.task}")
    fitting = [level.threshold for level in config.risk_levels if level.risk <= max_risk]
    if not fitting:
        lowest = min((level.risk for level in config.risk_levels), default=None)
        known = "has no risk levels" if lowest is None else f"vouches for {lowest:g} and more"
        raise ConfigError(f"max_risk {max_risk:g} is not known to be met: this adapter {known}")
    return min(fitting)


def decide(config: AdapterConfig, logits: Array) -> str | tuple[str, ...] | float:
    """The bare answer: a label; the labels that hold; a number; or a tag for each word."""
    if config.task is Task.REGRESSION:
        return float(logits[0])
    if config.task is Task.MULTI_LABEL:
        holds = probabilities(config, logits) >= thresholds(config)
        return tuple(config.labels[i] for i in np.flatnonzero(holds))
    if config.task is Task.TOKENS:
        return _as_tags(config, logits)
    return config.labels[int(logits.argmax())]


def _known(row: DecodableRow, logits: Array) -> Array:
    """The logits without those of words that were cut off."""
    return logits if row.word_index is None else logits[np.asarray(row.word_index) >= 0]


def _as_tags(config: AdapterConfig, logits: Array) -> tuple[str, ...]:
    """A word whose tokens were cut off has only NaN for logits: it is outside of any entity."""
    cut_off = np.asarray(np.isnan(logits).any(axis=-1))
    best = zip(logits.argmax(axis=-1), cut_off, strict=True)
    return tuple(OUTSIDE if unknown else config.labels[i] for i, unknown in best)


def _single(config: AdapterConfig, logits: Array, options: DecodeOptions) -> dict[str, Any]:
    probs = probabilities(config, logits)
    best = int(logits.argmax())
    answer: dict[str, Any] = {"label": config.labels[best]}
    if options.scores != "none":
        shown = probs if options.scores == "prob" else logits
        answer["score"] = _rounded(shown[best])
        answer["scores"] = _score_map(config, shown, options.top_k)
    needed = max(options.threshold or 0.0, risk_threshold(config, options.max_risk))
    if probs[best] < needed:
        answer["abstain"] = True
    return answer


def _multi(config: AdapterConfig, logits: Array, options: DecodeOptions) -> dict[str, Any]:
    probs = probabilities(config, logits)
    needed = thresholds(config) if options.threshold is None else options.threshold
    held = [i for i in _best_first(logits) if (probs >= needed)[i]]
    answer: dict[str, Any] = {"labels": [config.labels[i] for i in held[: options.top_k]]}
    if options.scores != "none":
        shown = probs if options.scores == "prob" else logits
        answer["scores"] = _score_map(config, shown, options.top_k)
    return answer


def _value(config: AdapterConfig, logits: Array, options: DecodeOptions) -> dict[str, Any]:
    del config, options  # a number has neither labels nor scores
    return {"value": _rounded(logits[0])}


_DECODERS = {
    Task.SINGLE_LABEL: _single,
    Task.MULTI_LABEL: _multi,
    Task.REGRESSION: _value,
}


def _tokens(
    config: AdapterConfig,
    row: DecodableRow,
    item: TextInput,
    logits: Array,
    options: DecodeOptions,
) -> dict[str, Any]:
    tags = list(_as_tags(config, logits))
    confidence = probabilities(config, logits).max(axis=-1)  # (words,)
    shown = confidence if options.scores == "prob" else logits.max(axis=-1)
    located = _locate_words(row, item)
    entities = []
    for span in word_spans(tags):
        words = slice(span.first, span.last + 1)
        if options.threshold is None or confidence[words].mean() >= options.threshold:
            score = None if options.scores == "none" else _rounded(shown[words].mean())
            entities.append(_entity(span, located, score))
    return {"entities": entities} if item.tokens is None else {"entities": entities, "tags": tags}


@dataclass(frozen=True, slots=True)
class _LocatedWords:
    text: str
    spans: Sequence[tuple[int, int]]  # characters of each word in the text


def _locate_words(row: DecodableRow, item: TextInput) -> _LocatedWords:
    """Words that came as a list are placed in the text that joining them by spaces makes."""
    if item.tokens is None:
        return _LocatedWords(item.text, row.words or ())
    starts = accumulate((len(word) + 1 for word in item.tokens), initial=0)
    spans = [(start, start + len(word)) for start, word in zip(starts, item.tokens, strict=False)]
    return _LocatedWords(" ".join(item.tokens), spans)


def _entity(span: WordSpan, located: _LocatedWords, score: float | None) -> dict[str, Any]:
    start, end = located.spans[span.first][0], located.spans[span.last][1]
    entity = {"label": span.label, "start": start, "end": end, "text": located.text[start:end]}
    return entity if score is None else {**entity, "score": score}


def _score_map(config: AdapterConfig, values: Array, top_k: int | None) -> dict[str, float]:
    return {config.labels[i]: _rounded(values[i]) for i in _best_first(values)[:top_k]}


def _best_first(values: Array) -> list[int]:
    return [int(i) for i in np.argsort(-values, kind="stable")]  # ties in the labels' order


def _rounded(value: float | np.floating[Any]) -> float:
    return round(float(value), _DIGITS)
