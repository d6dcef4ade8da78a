"""Labels that are far apart in frequency: when that is so, what then judges, and what a row weighs.

Weights are those of scikit-learn's ``class_weight="balanced"``, and of PyTorch's ``pos_weight`` for
several labels a row.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from sktuning.config import ClassWeight, Task
from sktuning.data import Dataset, Example
from sktuning.metrics import MAIN_METRIC

MAJORITY_SHARE: Final = 0.75  # of the rows: above it, always saying the commonest label looks good
DAMPING: Final = 0.5  # power of the balanced weights that `auto` takes
MAX_RATIO: Final = 10.0  # of the heaviest to the lightest weight that `auto` takes


def count_labels(examples: Sequence[Example]) -> dict[str, int]:
    """Rows a label (words a tag); empty for numbers."""
    counts: Counter[str] = Counter()
    for example in examples:
        if isinstance(example.target, tuple):
            counts.update(example.target)
        elif isinstance(example.target, str):
            counts[example.target] += 1
    return dict(counts)


def is_imbalanced(dataset: Dataset) -> bool:
    """Whether one of the labels, of which each row has one, stands on most training rows."""
    if dataset.task is not Task.SINGLE_LABEL:
        return False
    return max(count_labels(dataset.train).values()) > MAJORITY_SHARE * len(dataset.train)


def main_metric(dataset: Dataset) -> str:
    """What chooses the best evaluation and compares versions: macro-F1 where labels are rare."""
    return "macro_f1" if is_imbalanced(dataset) else MAIN_METRIC[dataset.task]


def class_weights(dataset: Dataset, choice: ClassWeight) -> dict[str, float]:
    """What the loss of a row (several labels: of a row that has the label) is multiplied by.

    Single-label weights average to 1 over the training rows. Empty where nothing is weighted:
    numbers and tags never are.
    """
    if choice == ClassWeight.NONE or dataset.task not in (Task.SINGLE_LABEL, Task.MULTI_LABEL):
        return {}
    if choice == ClassWeight.AUTO and not is_imbalanced(dataset):
        return {}
    counts = count_labels(dataset.train)
    rows = len(dataset.train)
    if dataset.task is Task.MULTI_LABEL:
        # a label that every row has would weigh nothing, and then never be learned
        return {
            n: max(rows - counts[n], 1) / counts[n] if n in counts else 1.0 for n in dataset.labels
        }
    weights = {n: rows / (len(counts) * counts[n]) if n in counts else 1.0 for n in dataset.labels}
    return _dampened(weights, counts) if choice == ClassWeight.AUTO else weights


def _dampened(weights: Mapping[str, float], counts: Mapping[str, int]) -> dict[str, float]:
    lightest = min(weights[name] for name in counts) ** DAMPING
    capped = {n: min(w**DAMPING, MAX_RATIO * lightest) for n, w in weights.items()}
    mean = sum(capped[n] * count for n, count in counts.items()) / sum(counts.values())
    return {name: weight / mean for name, weight in capped.items()}
