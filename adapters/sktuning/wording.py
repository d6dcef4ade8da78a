"""The prompt text that an adapter starts from when its user wrote none."""

import re
from collections.abc import Sequence

from sktuning.config import Task
from sktuning.entities import entity_labels

MAX_LABEL_CHARS = 80
MAX_LABEL_WORDS = 20  # of all labels together; the sentence around them is a few words more
_SEPARATORS = re.compile(r"[\W_]+")
_LETTER = re.compile(r"[^\W\d_]")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def default_prompt(task: Task, labels: Sequence[str], *, is_pair: bool = False) -> str:
    """A sentence that tells a reader what to do with the text that follows it.

    Args:
        task: what the answer is.
        labels: as the adapter knows them; for tokens the tags.
        is_pair: whether each input is a pair of texts.
    """
    what, subject = ("pair of texts", "texts:") if is_pair else ("text", "text:")
    if task is Task.REGRESSION:
        return f"rate the {what} with a number. {subject}"
    if task is Task.TOKENS:
        return f"find {_entities(entity_labels(labels))} in the text. text:"
    if task is Task.MULTI_LABEL:
        return f"choose all that fit the {what}: {_listing(labels, 'and')}. {subject}"
    return f"classify the {what} as {_listing(labels, 'or')}. {subject}"


def readable(label: str) -> str:
    """A label as words: ``card_arrival`` and ``cardArrival`` become "card arrival"."""
    words = " ".join(_SEPARATORS.split(_CAMEL.sub(" ", label))).strip().lower()
    return words[:MAX_LABEL_CHARS]


def _entities(labels: Sequence[str]) -> str:
    names = _names(labels)
    return f"the names of {_join(names, 'and')}" if names else "the names"


def _listing(labels: Sequence[str], last: str) -> str:
    names = _names(labels)
    return _join(names, last) if names else f"one of {len(labels)} classes"


def _names(labels: Sequence[str]) -> list[str]:
    """The labels as words; none at all when they are bare numbers, which say nothing."""
    names = list(dict.fromkeys(filter(None, map(readable, labels))))
    return names if any(_LETTER.search(name) for name in names) else []


def _join(names: list[str], last: str) -> str:
    kept = _spread(names)
    if len(kept) < len(names):
        kept.append("others" if last == "and" else "another")
    return kept[0] if len(kept) == 1 else f"{', '.join(kept[:-1])} {last} {kept[-1]}"


def _spread(names: list[str]) -> list[str]:
    """As many names as fit, taken evenly over all: sorted ones often differ only at the end."""
    for count in range(len(names), 1, -1):
        kept = [names[i * (len(names) - 1) // (count - 1)] for i in range(count)]
        if sum(len(name.split()) for name in kept) <= MAX_LABEL_WORDS:
            return kept
    return [" ".join(names[0].split()[:MAX_LABEL_WORDS])]
