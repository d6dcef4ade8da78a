"""Tags of words to entities and back: IOB2, tolerant of what models really predict."""

from collections.abc import Sequence
from dataclasses import dataclass

OUTSIDE = "O"
_BEGINS = frozenset("BSU")  # S and U: one-word entities of the five-letter schemes
_GOES_ON = frozenset("IEL")


@dataclass(frozen=True, slots=True)
class WordSpan:
    """An entity over the words `first` to `last`, both included."""

    label: str
    first: int
    last: int


def word_spans(tags: Sequence[str]) -> list[WordSpan]:
    """The entities that `tags` describe, in order.

    An inside tag that follows no entity of its type begins one; a tag without a B-/I- prefix
    counts as inside.
    """
    spans: list[WordSpan] = []
    label = ""  # of the entity that the previous word belongs to
    for position, tag in enumerate(tags):
        begins, kind = split_tag(tag)
        if kind and (begins or kind != label):
            spans.append(WordSpan(kind, position, position))
        elif kind:
            spans[-1] = WordSpan(kind, spans[-1].first, position)
        label = kind
    return spans


def split_tag(tag: str) -> tuple[bool, str]:
    """Whether a tag begins an entity, and the entity's label; outside: ``(False, "")``."""
    if tag == OUTSIDE:
        return False, ""
    prefix, dash, label = tag.partition("-")
    if dash and label and prefix in _BEGINS:
        return True, label
    if dash and label and prefix in _GOES_ON:
        return False, label
    return False, tag


def entity_labels(tags: Sequence[str]) -> list[str]:
    """The distinct entity labels behind a set of tags, sorted."""
    return sorted({label for _, label in map(split_tag, tags) if label})
