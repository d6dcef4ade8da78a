"""Answers that can be trusted: temperature, thresholds and risk levels from rows not learned from.

Temperature scaling and the expected calibration error are those of Guo et al., *On Calibration of
Modern Neural Networks*, arXiv:1706.04599; risk levels follow Geifman and El-Yaniv, *Selective
Classification for Deep Neural Networks*, arXiv:1705.08500.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import beta

from sktuning.config import AdapterConfig, RiskLevel, Task
from sktuning.data import Target
from sktuning.decode import DEFAULT_THRESHOLD, Array, probabilities
from sktuning.metrics import score, truth

RISKS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
CONFIDENCE: Final = 0.9  # that the share of wrong answers is below the risk
NUM_BINS: Final = 15
NUM_FOLDS: Final = 5
MIN_ROWS: Final = 2 * NUM_FOLDS  # with fewer nothing is fitted
_TEMPERATURES: Final = (0.05, 20.0)
_PRIOR_DEVIATION: Final = 0.5  # of log temperature: few rows leave it near 1
_PRIOR_POSITIVES: Final = 20  # a label's own threshold weighs n / (n + 20) beside the common one
_SWEEPS: Final = 2


@dataclass(frozen=True, slots=True)
class Confidences:
    """How sure each decision was, and whether it was right; (N,) each.

    Single-label: a decision a row. Tokens: one a word. Multi-label: one a row and label, the
    probability of what was decided.
    """

    values: NDArray[np.float64]
    right: NDArray[np.bool_]


def calibrate(
    config: AdapterConfig, logits: Sequence[Array], targets: Sequence[Target]
) -> tuple[AdapterConfig, dict[str, Any]]:
    """Fit what makes probabilities of logits, and say what that is worth on other rows.

    Args:
        config: of the adapter that gave the logits.
        logits: of held-out rows, one array a row: (C,); tokens: (words, C).
        targets: one a row, as in `Example`.

    Returns:
        The configuration with temperature, thresholds (multi-label) and risk levels
        (single-label); and the metrics of `score`, each row answered with what was fitted without
        it (five folds), so that they promise no more than fresh rows would show. Beside them
        ``ece`` and ``ece_uncalibrated``, the expected calibration error with and without.

    Raises:
        DataError: there is nothing to compare.
    """
    if config.task is Task.REGRESSION or len(logits) < MIN_ROWS:
        return config, score(config, logits, targets)
    plain = replace(config, temperature=1.0, thresholds=(), risk_levels=())
    fitted = _fit(plain, logits, targets)
    folds = [_fit_without(plain, logits, targets, fold) for fold in range(NUM_FOLDS)]
    by_row = [folds[i % NUM_FOLDS] for i in range(len(logits))]
    metrics = score(fitted, logits, targets, by_row=by_row)
    before = confidences([plain] * len(logits), logits, targets)
    after = confidences(by_row, logits, targets)
    metrics["ece"] = expected_calibration_error(after)
    metrics["ece_uncalibrated"] = expected_calibration_error(before)
    if config.task is Task.SINGLE_LABEL:
        fitted = replace(fitted, risk_levels=_risk_levels(after))
    return fitted, metrics


def confidences(
    configs: Sequence[AdapterConfig], logits: Sequence[Array], targets: Sequence[Target]
) -> Confidences:
    """How sure every decision is under its row's configuration."""
    values, right = [], []
    for config, row, target in zip(configs, logits, targets, strict=True):
        wanted = truth(config, target)
        probs = probabilities(config, row)
        if config.task is Task.MULTI_LABEL:
            values.append(np.maximum(probs, 1 - probs))
            right.append((probs >= DEFAULT_THRESHOLD) == wanted.astype(bool))
            continue
        probs, found = np.atleast_2d(probs), np.atleast_1d(wanted)
        known = ~np.isnan(probs).any(axis=-1)  # words that were cut off
        values.append(probs[known].max(axis=-1))
        right.append(probs[known].argmax(axis=-1) == found[known])
    return Confidences(np.concatenate(values), np.concatenate(right))


def expected_calibration_error(seen: Confidences) -> float:
    """The mean distance of confidence from accuracy over 15 bins of equal width, by their size."""
    bins = np.minimum((seen.values * NUM_BINS).astype(int), NUM_BINS - 1)
    gaps = np.bincount(bins, weights=seen.values - seen.right, minlength=NUM_BINS)
    return float(np.abs(gaps).sum() / max(len(seen.values), 1))


def _fit_without(
    config: AdapterConfig, logits: Sequence[Array], targets: Sequence[Target], fold: int
) -> AdapterConfig:
    rest = [i for i in range(len(logits)) if i % NUM_FOLDS != fold]
    return _fit(config, [logits[i] for i in rest], [targets[i] for i in rest])


def _fit(
    config: AdapterConfig, logits: Sequence[Array], targets: Sequence[Target]
) -> AdapterConfig:
    wanted = [truth(config, target) for target in targets]
    if config.task is Task.MULTI_LABEL:
        scores, hot = np.stack(logits).astype(np.float64), np.stack(wanted).astype(bool)
        config = replace(config, temperature=_temperature(_BinaryLoss(scores, hot)))
        return replace(config, thresholds=_thresholds(probabilities(config, scores), hot))
    scores = np.concatenate([np.atleast_2d(row) for row in logits]).astype(np.float64)
    labels = np.concatenate([np.atleast_1d(row) for row in wanted])
    known = ~np.isnan(scores).any(axis=-1) & (labels >= 0)
    return replace(config, temperature=_temperature(_ChoiceLoss(scores[known], labels[known])))


@dataclass(frozen=True, slots=True, eq=False)
class _ChoiceLoss:
    """Negative log-likelihood of labels (N,) under softmax of logits (N, C), summed."""

    logits: NDArray[np.float64]
    labels: NDArray[np.int64]

    def __call__(self, temperature: float) -> float:
        scaled = self.logits / temperature
        scaled -= scaled.max(axis=-1, keepdims=True)
        total = np.log(np.exp(scaled).sum(axis=-1))
        return float((total - scaled[np.arange(len(scaled)), self.labels]).sum())


@dataclass(frozen=True, slots=True, eq=False)
class _BinaryLoss:
    """Negative log-likelihood of labels (N, C) under sigmoid of logits (N, C); mean over labels."""

    logits: NDArray[np.float64]
    hot: NDArray[np.bool_]

    def __call__(self, temperature: float) -> float:
        signed = np.where(self.hot, self.logits, -self.logits) / temperature
        return float(np.logaddexp(0, -signed).sum() / self.hot.shape[1])


def _temperature(loss: _ChoiceLoss | _BinaryLoss) -> float:
    """The likeliest temperature, with a prior around 1 that many rows overrule."""

    def objective(log_temperature: float) -> float:
        prior = (log_temperature / _PRIOR_DEVIATION) ** 2 / 2
        return loss(float(np.exp(log_temperature))) + prior

    if not len(loss.logits):
        return 1.0
    bounds = tuple(np.log(_TEMPERATURES))
    return round(float(np.exp(minimize_scalar(objective, bounds=bounds, method="bounded").x)), 6)


def _thresholds(probs: NDArray[np.float64], hot: NDArray[np.bool_]) -> tuple[float, ...]:
    """What makes micro-F1 highest: one threshold for all labels, moved for labels with positives.

    A label's own threshold is the one that serves the F1 of all labels together best while the
    others stay; it is drawn towards the common one when few positives speak for it.
    """
    if not hot.any():
        return ()
    positives = hot.sum(axis=0)
    common = _best_cut(probs.ravel(), hot.ravel(), 0, int(positives.sum()))
    chosen = np.full(probs.shape[1], common)
    weights = positives / (positives + _PRIOR_POSITIVES)
    hits = ((probs >= chosen) & hot).sum(axis=0)  # (C,)
    held = (probs >= chosen).sum(axis=0)
    for label in np.flatnonzero(positives).tolist() * _SWEEPS:
        column, wanted = probs[:, label], hot[:, label]
        standing = int(held.sum() - held[label] + positives.sum())
        cut = _best_cut(column, wanted, int(hits.sum() - hits[label]), standing)
        chosen[label] = weights[label] * cut + (1 - weights[label]) * common
        hits[label] = ((column >= chosen[label]) & wanted).sum()
        held[label] = (column >= chosen[label]).sum()
    return tuple(round(float(value), 6) for value in chosen)


def _best_cut(probs: NDArray[np.float64], hot: NDArray[np.bool_], hits: int, size: int) -> float:
    """The threshold with the best F1.

    Args:
        probs, hot: (N,).
        hits: right decisions that stand already.
        size: decisions and truths that stand already; F1 is 2 · hits / size.
    """
    order = np.argsort(-probs, kind="stable")
    ranked = probs[order]
    right = hits + np.cumsum(hot[order])
    f1 = 2 * right / (size + np.arange(1, len(ranked) + 1))
    ends = np.append(ranked[:-1] != ranked[1:], True)  # equal probabilities fall together
    f1 = np.where(ends, f1, -1.0)
    best = int(f1.argmax())
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float((ranked[best] + below) / 2)


def _risk_levels(seen: Confidences) -> tuple[RiskLevel, ...]:
    """For each risk the lowest confidence above which answers are wrong no more often than that.

    With 90 % confidence, by the exact binomial bound on the rows at hand; risks that the rows are
    too few to vouch for are left out.
    """
    order = np.argsort(-seen.values, kind="stable")
    ranked, wrong = seen.values[order], np.cumsum(~seen.right[order])
    count = np.arange(1, len(ranked) + 1)
    bound = beta.ppf(CONFIDENCE, wrong + 1, np.maximum(count - wrong, 1e-9))
    ends = np.append(ranked[:-1] != ranked[1:], True)
    levels = []
    for risk in RISKS:
        kept = np.flatnonzero((bound <= risk) & ends)
        if len(kept):
            last = int(kept[-1])
            threshold = float(np.floor(ranked[last] * 1e6) / 1e6)
            levels.append(RiskLevel(risk, threshold, round((last + 1) / len(ranked), 6)))
    return tuple(levels)
