"""The prompt text that an adapter starts from when its user wrote none."""

import re
from collections.abc import Callable, Mapping, Sequence

from sktuning.config import Task
from sktuning.entities import entity_labels

MAX_LABEL_CHARS = 80
MAX_LABEL_WORDS = 20  # of all labels together; the sentence around them is a few words more
_SHORT: Mapping[Task, str] = {
    Task.SINGLE_LABEL: "classify the",
    Task.MULTI_LABEL: "label the",
    Task.REGRESSION: "rate the",
    Task.TOKENS: "find names in the",
}
_SEPARATORS = re.compile(r"[\W_]+")
_LETTER = re.compile(r"[^\W\d_]")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def default_prompt(
    task: Task,
    labels: Sequence[str],
    *,
    is_pair: bool = False,
    fits: Callable[[str], bool] = bool,
) -> str:
    """A sentence that tells a reader what to do with the text that follows it.

    Args:
        task: what the answer is.
        labels: as the adapter knows them; for tokens the tags.
        is_pair: whether each input is a pair of texts.
        fits: whether a base has room for a sentence; with fewer and fewer labels it is shorter.
    """
    what, subject = ("pair of texts", "texts:") if is_pair else ("text", "text:")
    for max_words in (MAX_LABEL_WORDS, 12, 6, 3):
        text = f"{_sentence(task, labels, what, max_words)} {subject}"
        if fits(text):
            return text
    return f"{_SHORT[task]} {subject}"


def _sentence(task: Task, labels: Sequence[str], what: str, max_words: int) -> str:
    if task is Task.REGRESSION:
        return f"rate the {what} with a number."
    if task is Task.TOKENS:
        names = _names(entity_labels(labels))
        of = f" of {_join(names, 'and', max_words)}" if names else ""
        return f"find the names{of} in the text."
    names = _names(labels)
    if not names:
        return f"classify the {what} as one of {len(labels)} classes."
    if task is Task.MULTI_LABEL:
        return f"choose all that fit the {what}: {_join(names, 'and', max_words)}."
    return f"classify the {what} as {_join(names, 'or', max_words)}."


def readable(label: str) -> str:
    """A label as words: ``card_arrival`` and ``cardArrival`` become "card arrival"."""
    words = " ".join(_SEPARATORS.split(_CAMEL.sub(" ", label))).strip().lower()
    return words[:MAX_LABEL_CHARS]


def says_something(label: str) -> bool:
    """Whether a label has letters: bare numbers and signs do not say what they stand for."""
    return bool(_LETTER.search(readable(label)))


def _names(labels: Sequence[str]) -> list[str]:
    """The labels as words; none at all when they are bare numbers, which say nothing."""
    names = list(dict.fromkeys(filter(None, map(readable, labels))))
    return names if any(map(says_something, names)) else []


def _join(names: list[str], last: str, max_words: int) -> str:
    kept = _spread(names, max_words)
    if len(kept) < len(names):
        kept.append("others" if last == "and" else "another")
    return kept[0] if len(kept) == 1 else f"{', '.join(kept[:-1])} {last} {kept[-1]}"


def _spread(names: list[str], max_words: int) -> list[str]:
    """As many names as fit, taken evenly over all: sorted ones often differ only at the end."""
    for count in range(len(names), 1, -1):
        kept = [names[i * (len(names) - 1) // (count - 1)] for i in range(count)]
        if sum(len(name.split()) for name in kept) <= max_words:
            return kept
    return [" ".join(names[0].split()[:max_words])]
