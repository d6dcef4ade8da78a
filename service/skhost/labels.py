"""Which adapters have a label of their own in the metrics: the busiest, and the rest is `other`."""

from collections import Counter

OTHER = "other"
RANK_EVERY = 1000  # requests; until then whoever came first keeps its label


class AdapterLabels:
    """Keeps the number of label values bounded.

    A label is taken away only for a name that was asked for twice as often lately, so that labels
    stay where they are while traffic does. What had one counts as `other` from then on: its own
    series ends and `other` goes on from where it was, so neither ever goes backwards.
    """

    def __init__(self, max_names: int) -> None:
        self._max_names = max_names
        self._labelled: set[str] = set()
        self._asked: Counter[str] = Counter()
        self._num_asked = 0

    def label(self, name: str) -> str:
        """Count a request for `name`; its label now."""
        self._asked[name] += 1
        self._num_asked += 1
        if len(self._labelled) < self._max_names:
            self._labelled.add(name)
        return name if name in self._labelled else OTHER

    def take_replaced(self) -> list[str]:
        """Names that have lost their label since the last time, which are to be forgotten."""
        if self._num_asked < RANK_EVERY:
            return []
        self._num_asked = 0
        replaced = self._rank()
        # What was long ago counts half each time; names that nobody asks for any more go.
        self._asked = Counter({name: n // 2 for name, n in self._asked.items() if n > 1})
        return replaced

    def _rank(self) -> list[str]:
        """Let the busiest names without a label replace the idlest with one."""
        idle = sorted(self._labelled, key=lambda name: self._asked[name])
        busy = [name for name, _ in self._asked.most_common() if name not in self._labelled]
        pairs = zip(idle, busy, strict=False)
        swaps = [(old, new) for old, new in pairs if self._asked[new] > 2 * self._asked[old]]
        for old, new in swaps:
            self._labelled.remove(old)
            self._labelled.add(new)
        return [old for old, _ in swaps]
