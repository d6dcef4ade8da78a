"""What a rung of the benchmark is: things that are timed side by side, batch by batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from serving_rungs.loads import Load
from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.tokens import EncodedRow


@dataclass(frozen=True, slots=True)
class Setting:
    """One base in one dtype, on one dataset's batches.

    Attributes:
        loads: what the engine's rung serves.
    """

    dataset: str
    dtype: str
    classifier: Classifier
    adapters: Sequence[Adapter]
    batches: Sequence[Sequence[EncodedRow]]
    loads: Sequence[Load]


@dataclass(frozen=True, slots=True)
class Entrant:
    """One thing that is timed.

    Attributes:
        fields: what the table says of it, without the figures.
        run: computes the batch of that number.
        extra: further figures of the batch of that number.
    """

    fields: Mapping[str, Any]
    run: Callable[[int], object]
    extra: Callable[[int], Mapping[str, float]] = field(default=lambda _: {})


class Rung(Protocol):
    """A module of this package."""

    def entrants(self, setting: Setting) -> Iterator[Entrant]:
        """All that is timed of a setting."""
