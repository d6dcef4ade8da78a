"""What an adapter must beat: the commonest answer, and a logistic head on the frozen base."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from sktuning.calibration import calibrate
from sktuning.classify import Classifier
from sktuning.config import AdapterConfig, Task
from sktuning.data import Example, Target
from sktuning.decode import Array
from sktuning.logits import BATCH_TOKENS, batches
from sktuning.metrics import score
from sktuning.tokens import EncodedRow

MAX_ITERATIONS = 1000
_YES = 20.0  # a logit that is as good as certain
_Model = Callable[[Array], Array]  # (N, H) to (N, C)


def majority(
    config: AdapterConfig, train: Sequence[Example], test: Sequence[Example]
) -> dict[str, Any]:
    """The metrics of giving every row of `test` the answer that `train` has most often.

    Multi-label: the commonest label alone; regression: the mean; tokens: the commonest tag.
    """
    if config.task is Task.REGRESSION:
        answer = np.array([np.mean([_number(e.target) for e in train])])
    else:
        counts = Counter(name for e in train for name in _names(e.target))
        best = max(config.labels, key=lambda label: counts[label])
        answer = np.where(np.array(config.labels) == best, _YES, -_YES)
    targets = [example.target for example in test]
    return score(config, [_for_words(config, answer, target) for target in targets], targets)


def logistic(
    classifier: Classifier,
    config: AdapterConfig,
    train: Sequence[Example],
    test: Sequence[Example],
    *,
    held_out: Sequence[Example] = (),
    max_length: int | None = None,
) -> dict[str, Any]:
    """The metrics of a linear model on what the frozen base says without any prompt.

    Logistic regression on standardised features (one a label for multi-label, one row a word for
    tokens), ridge for regression; scikit-learn's default strength throughout.

    Args:
        held_out: rows to choose a multi-label task's thresholds by, as an adapter does.
        max_length: tokens that are read of each row; None is the base's limit.
    """
    train_x, train_rows = features(classifier, config, train, max_length)
    test_x, test_rows = features(classifier, config, test, max_length)
    x, y = _design(config, train_x, [e.target for e in train_rows])
    model = _fit(config, x, y)
    logits = _logits(config, model, test_x)
    if held_out and config.task is Task.MULTI_LABEL:
        held_x, held_rows = features(classifier, config, held_out, max_length)
        held_logits = _logits(config, model, held_x)
        config, _ = calibrate(config, held_logits, [e.target for e in held_rows])
    return score(config, logits, [e.target for e in test_rows])


def features(
    classifier: Classifier,
    config: AdapterConfig,
    examples: Sequence[Example],
    max_length: int | None = None,
) -> tuple[list[Array], list[Example]]:
    """Pooled states of the frozen base, (H,) or (words, H), and the examples that can be read."""
    encoded = classifier.encoder.encode([e.input for e in examples], config, max_length=max_length)
    pairs = zip(encoded, examples, strict=True)
    usable = [(row, e) for row, e in pairs if isinstance(row, EncodedRow)]
    found: dict[int, Array] = {}
    for batch in batches([len(row) for row, _ in usable], BATCH_TOKENS):
        states = classifier.features([usable[i][0] for i in batch], config)
        found.update(zip(batch, states, strict=True))
    return [found[i] for i in range(len(usable))], [example for _, example in usable]


def _fit(config: AdapterConfig, x: Array, y: NDArray[Any]) -> _Model:
    scaler = StandardScaler().fit(x)
    scaled = scaler.transform(x)
    if config.task is Task.REGRESSION:
        ridge = Ridge().fit(scaled, y)
        return lambda rows: np.asarray(ridge.predict(scaler.transform(rows)))[:, None]
    if config.task is Task.MULTI_LABEL:
        models = [_fit_classes(2, scaled, column) for column in y.T]
        return lambda rows: np.stack([_of_yes(m, scaler.transform(rows)) for m in models], axis=1)
    classes = _fit_classes(config.num_outputs, scaled, y)
    return lambda rows: classes(scaler.transform(rows))


def _fit_classes(num_classes: int, x: Array, y: NDArray[Any]) -> _Model:
    """Logistic regression over all classes, though some may not occur."""
    occurring = np.unique(y)
    if len(occurring) == 1:
        constant = np.where(np.arange(num_classes) == occurring[0], _YES / 2, -_YES / 2)
        return lambda rows: np.repeat(constant[None], len(rows), axis=0)
    model = LogisticRegression(max_iter=MAX_ITERATIONS).fit(x, y)

    def scores(rows: Array) -> Array:
        found = np.asarray(model.decision_function(rows))
        if found.ndim == 1:  # two classes have one score, the second's
            found = np.stack([-found / 2, found / 2], axis=1)
        full = np.full((len(rows), num_classes), -_YES)
        full[:, occurring] = found
        return full

    return scores


def _of_yes(model: _Model, rows: Array) -> Array:
    """The log-odds of the second of two classes, (N,)."""
    scores = model(rows)
    return np.asarray(scores[:, 1] - scores[:, 0])


def _design(
    config: AdapterConfig, states: Sequence[Array], targets: Sequence[Target]
) -> tuple[Array, NDArray[Any]]:
    """Features (N, H) and what scikit-learn is to learn from each of them."""
    index = {label: i for i, label in enumerate(config.labels)}
    if config.task is Task.REGRESSION:
        return np.stack(states), np.array([_number(target) for target in targets])
    if config.task is Task.MULTI_LABEL:
        hot = np.zeros((len(targets), len(index)), dtype=np.int64)
        for row, target in zip(hot, targets, strict=True):
            row[[index[name] for name in _names(target)]] = 1
        return np.stack(states), hot
    if config.task is Task.SINGLE_LABEL:
        return np.stack(states), np.array([index[str(target)] for target in targets])
    words = np.concatenate(states)
    tags = np.array([index[tag] for target in targets for tag in _names(target)])
    known = ~np.isnan(words).any(axis=1)  # the others were cut off
    return words[known], tags[known]


def _logits(config: AdapterConfig, model: _Model, states: Sequence[Array]) -> list[Array]:
    """Features of each row, (H,) or (words, H), to logits as an adapter gives them."""
    rows = np.concatenate([np.atleast_2d(one) for one in states])
    known = ~np.isnan(rows).any(axis=1)  # words that were cut off stay NaN
    logits = np.full((len(rows), config.num_outputs), np.nan)
    logits[known] = model(rows[known])
    if config.task is not Task.TOKENS:
        return list(logits)
    return np.split(logits, np.cumsum([len(one) for one in states])[:-1])


def _for_words(config: AdapterConfig, answer: Array, target: Target) -> Array:
    if config.task is not Task.TOKENS:
        return answer
    return np.repeat(answer[None], len(_names(target)), axis=0)


def _names(target: Target) -> tuple[str, ...]:
    return target if isinstance(target, tuple) else (str(target),)


def _number(target: Target) -> float:
    return float(target) if not isinstance(target, tuple) else float("nan")
