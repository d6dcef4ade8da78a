"""How good answers are: scikit-learn's and seqeval's measures, as JSON-safe values."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as entity_scores
from sklearn import metrics as sk

from sktuning.config import AdapterConfig, Task
from sktuning.data import Target
from sktuning.decode import Array, decide, probabilities
from sktuning.entities import OUTSIDE, split_tag
from sktuning.errors import DataError

MAIN_METRIC: Mapping[Task, str] = {
    Task.SINGLE_LABEL: "accuracy",
    Task.MULTI_LABEL: "micro_f1",
    Task.REGRESSION: "pearson",
    Task.TOKENS: "entity_f1",
}
MAX_CONFUSION_LABELS = 100  # above it a matrix is more than a client wants to be sent
SCALE_LABELS = range(3, 21)  # of a scale; two are yes and no, more are numbers of things
_WHOLE = re.compile(r"([+-]?[0-9]{1,9})(?:\.0)?")


def score(
    config: AdapterConfig,
    logits: Sequence[Array],
    targets: Sequence[Target],
    *,
    by_row: Sequence[AdapterConfig] | None = None,
) -> dict[str, Any]:
    """Compare answers with what they should have been.

    Args:
        config: whose task, labels, temperature and thresholds make logits into answers.
        logits: one array a row: (C,); tokens: (words, C). Words that it lacks count as outside.
        targets: one a row, by task as in `Example`. Labels that the adapter does not know are
            answers it got wrong.
        by_row: other temperatures and thresholds, one configuration a row.

    Returns:
        Numbers by name, ``num_rows``, and where the task has labels ``per_label``: precision,
        recall, f1 and support of each. Labels that are a scale (see `scale_of`) also have ``mae``
        and ``quadratic_weighted_kappa``. Nothing in it is NaN: what is undefined is 0.0.

    Raises:
        DataError: there is nothing to compare.
    """
    if not logits or len(logits) != len(targets):
        raise DataError(f"{len(logits)} answers for {len(targets)} rows: nothing to compare")
    configs = by_row or [config] * len(logits)
    return {"num_rows": len(targets), **_SCORERS[config.task](configs, logits, targets)}


def truth(config: AdapterConfig, target: Target) -> NDArray[np.int64]:
    """A target as indices of labels: () for one label, -1 if the adapter does not know it.

    Multi-label: 1 for each label that holds, (C,). Tokens: one a word, (words,).
    """
    index = {label: i for i, label in enumerate(config.labels)}
    if config.task is Task.SINGLE_LABEL:
        return np.array(index.get(str(target), -1))
    if config.task is Task.TOKENS:
        return np.array([index.get(tag, -1) for tag in _as_tuple(target)], dtype=np.int64)
    hot = np.zeros(len(index), dtype=np.int64)
    hot[[index[label] for label in _as_tuple(target) if label in index]] = 1
    return hot


def scale_of(labels: Sequence[str]) -> tuple[int, ...]:
    """The labels as whole numbers, where they are 3 to 20 that follow each other; else nothing."""
    found = [_WHOLE.fullmatch(label) for label in labels]
    values = tuple(int(match[1]) for match in found if match)
    if len(values) != len(labels) or len(values) not in SCALE_LABELS:
        return ()
    is_sequence = sorted(values) == list(range(min(values), max(values) + 1))
    return values if is_sequence else ()


def scalars(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The plain numbers among `metrics`, without the reports and matrices."""
    return {name: float(v) for name, v in metrics.items() if isinstance(v, int | float)}


def _score_single(
    configs: Sequence[AdapterConfig], logits: Sequence[Array], targets: Sequence[Target]
) -> dict[str, Any]:
    names, index = _label_index(configs[0], [str(target) for target in targets])
    true = np.array([index[str(target)] for target in targets])
    seen = np.array([int(row.argmax()) for row in logits])
    report = _per_label(names, true, seen)
    present = [r["f1"] for i, r in enumerate(report.values()) if r["support"] or (seen == i).any()]
    answer = {
        "accuracy": float((true == seen).mean()),
        "macro_f1": float(np.mean(present)),
        "mcc": _matthews(true, seen),
        **_ordinal(scale_of(names), true, seen),
        "per_label": report,
    }
    if len(names) <= MAX_CONFUSION_LABELS:
        matrix = sk.confusion_matrix(true, seen, labels=range(len(names))).tolist()
        answer["confusion"] = {"labels": names, "matrix": matrix}  # rows: what it should have been
    return answer


def _ordinal(
    scale: Sequence[int], true: NDArray[np.int64], seen: NDArray[np.int64]
) -> dict[str, float]:
    """How far wrong answers are off, where labels have an order."""
    if not scale:
        return {}
    values = np.array(scale)
    wanted, given = values[true], values[seen]
    is_defined = len(np.unique(np.concatenate([wanted, given]))) > 1  # scikit-learn divides by 0
    kappa = 0.0
    if is_defined:  # the labels are given, for distances are counted in them
        weighted = {"labels": sorted(scale), "weights": "quadratic"}
        kappa = _defined(sk.cohen_kappa_score(wanted, given, **weighted))
    return {"mae": float(np.abs(wanted - given).mean()), "quadratic_weighted_kappa": kappa}


def _matthews(true: NDArray[np.int64], seen: NDArray[np.int64]) -> float:
    if len(np.unique(np.concatenate([true, seen]))) < 2:  # scikit-learn warns of it
        return 0.0
    return _defined(sk.matthews_corrcoef(true, seen))


def _score_multi(
    configs: Sequence[AdapterConfig], logits: Sequence[Array], targets: Sequence[Target]
) -> dict[str, Any]:
    wanted = [_as_tuple(target) for target in targets]
    names, index = _label_index(configs[0], [label for row in wanted for label in row])
    true = np.zeros((len(wanted), len(names)), dtype=np.int64)
    for row, labels in zip(true, wanted, strict=True):
        row[[index[label] for label in labels]] = 1
    seen = np.zeros_like(true)
    ranks = np.zeros(true.shape)
    for i, (config, answer) in enumerate(zip(configs, logits, strict=True)):
        seen[i, [index[label] for label in _as_tuple(decide(config, answer))]] = 1
        ranks[i, : len(answer)] = probabilities(config, answer)
    report = _per_label(names, true, seen)
    return {
        "micro_f1": float(sk.f1_score(true, seen, average="micro", zero_division=0.0)),
        "macro_f1": float(np.mean([r["f1"] for r in report.values()])),
        "average_precision": _average_precision(true, ranks),
        "exact_match": float((true == seen).all(axis=1).mean()),
        "per_label": report,
    }


def _average_precision(true: NDArray[np.int64], ranks: NDArray[np.float64]) -> float:
    """Mean over the labels that occur; without positives it is undefined."""
    occurring = [i for i in range(true.shape[1]) if true[:, i].any()]
    if not occurring:
        return 0.0
    return float(np.mean([sk.average_precision_score(true[:, i], ranks[:, i]) for i in occurring]))


def _per_label(
    names: Sequence[str], true: NDArray[np.int64], seen: NDArray[np.int64]
) -> dict[str, dict[str, float]]:
    rows = sk.precision_recall_fscore_support(
        true, seen, labels=range(len(names)), average=None, zero_division=0.0
    )
    return _report(names, rows)


def _report(names: Sequence[str], columns: Sequence[Any]) -> dict[str, dict[str, float]]:
    keys = ("precision", "recall", "f1")
    report: dict[str, dict[str, float]] = {}
    for i, name in enumerate(names):
        report[name] = {key: float(columns[k][i]) for k, key in enumerate(keys)}
        report[name]["support"] = int(columns[3][i])
    return report


def _score_regression(
    configs: Sequence[AdapterConfig], logits: Sequence[Array], targets: Sequence[Target]
) -> dict[str, Any]:
    del configs
    seen = np.array([float(row[0]) for row in logits])
    true = np.array([_as_number(target) for target in targets])
    answer: dict[str, Any] = {
        "mse": float(((seen - true) ** 2).mean()),
        "mae": float(np.abs(seen - true).mean()),
    }
    if len(true) < 2 or np.ptp(seen) == 0 or np.ptp(true) == 0:
        note = "the correlations are undefined and given as 0: one side never changes"
        return {"pearson": 0.0, "spearman": 0.0, **answer, "note": note}
    # not scipy's pearsonr, which warns of nearly constant answers
    pearson = _defined(np.corrcoef(true, seen)[0, 1])
    return {"pearson": pearson, "spearman": _defined(stats.spearmanr(true, seen)[0]), **answer}


def _score_tokens(
    configs: Sequence[AdapterConfig], logits: Sequence[Array], targets: Sequence[Target]
) -> dict[str, Any]:
    true = [_plain_tags(_as_tuple(target)) for target in targets]
    seen = []
    for config, row, wanted in zip(configs, logits, true, strict=True):
        tags = _plain_tags(_as_tuple(decide(config, row)))[: len(wanted)]
        seen.append(tags + [OUTSIDE] * (len(wanted) - len(tags)))
    pairs = [pair for t, s in zip(true, seen, strict=True) for pair in zip(t, s, strict=True)]
    answer: dict[str, Any] = {"token_accuracy": float(np.mean([t == s for t, s in pairs]))}
    names = sorted({tag[2:] for pair in pairs for tag in pair if tag != OUTSIDE})
    if not names:
        note = "there are no entities here and none were found"
        return {**_entity_totals((0, 0, 0)), **answer, "per_label": {}, "note": note}
    totals = entity_scores(true, seen, average="micro", zero_division=0)
    columns = entity_scores(true, seen, average=None, zero_division=0)
    return {**_entity_totals(totals), **answer, "per_label": _report(names, columns)}


def _entity_totals(totals: Sequence[Any]) -> dict[str, float]:
    names = ("entity_precision", "entity_recall", "entity_f1")
    return {name: float(total) for name, total in zip(names, totals, strict=False)}


def _plain_tags(tags: Sequence[str]) -> list[str]:
    """Any scheme as B-/I-/O, which is what seqeval reads."""
    parts = map(split_tag, tags)
    return [f"{'B' if begins else 'I'}-{label}" if label else OUTSIDE for begins, label in parts]


def _label_index(config: AdapterConfig, seen: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """The adapter's labels in their order, and after them those it does not know."""
    names = [*config.labels, *sorted(set(seen) - set(config.labels))]
    return names, {name: i for i, name in enumerate(names)}


def _as_tuple(value: Target) -> tuple[str, ...]:
    if not isinstance(value, tuple):
        raise DataError(f"a tuple of labels or tags expected, got {value!r:.100}")
    return value


def _as_number(value: Target) -> float:
    if isinstance(value, tuple):
        raise DataError(f"a number expected, got {value!r:.100}")
    return float(value)


def _defined(value: Any) -> float:
    number = float(value)
    return number if math.isfinite(number) else 0.0


_Scorer = Callable[[Sequence[AdapterConfig], Sequence[Array], Sequence[Target]], dict[str, Any]]
_SCORERS: Mapping[Task, _Scorer] = {
    Task.SINGLE_LABEL: _score_single,
    Task.MULTI_LABEL: _score_multi,
    Task.REGRESSION: _score_regression,
    Task.TOKENS: _score_tokens,
}
