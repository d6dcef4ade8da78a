"""Rows drawn by chance, some of every label, with no text on both sides."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from random import Random


def draw(
    inputs: Sequence[Hashable], labels: Sequence[Sequence[str]], share: float, seed: int
) -> set[int]:
    """The numbers of the rows that are drawn.

    Of every label's texts about `share` is drawn, at least one of two and never more than half. The
    same input is drawn with all its rows or with none.

    Args:
        inputs: what each row's text is, or what stands for it.
        labels: each row's; of several the rarest one counts. Numbers have none: they are alike.
        share: above 0 and below 1.
    """
    counts = Counter(label for row in labels for label in set(row))
    strata: dict[Hashable, str] = {}
    for text, row in zip(inputs, labels, strict=True):
        strata.setdefault(text, min(row, key=lambda label: (counts[label], label), default=""))
    order = list(strata)
    Random(seed).shuffle(order)
    alike = dict.fromkeys(order, "")  # where every label has one text, so that none could be drawn
    drawn = _draw(order, strata, share) or _draw(order, alike, share)
    return {number for number, text in enumerate(inputs) if text in drawn}


def _draw(order: Sequence[Hashable], strata: Mapping[Hashable, str], share: float) -> set[Hashable]:
    sizes = Counter(strata.values())
    left = {name: min(max(round(size * share), 1), size // 2) for name, size in sizes.items()}
    drawn = set()
    for text in order:
        if left[strata[text]] > 0:
            left[strata[text]] -= 1
            drawn.add(text)
    return drawn
