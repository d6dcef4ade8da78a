"""How much may wait and how much may run at once: a value, checked at construction."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the batcher; items are texts, tokens include the prompts' share.

    Attributes:
        max_batch_tokens: budget of one forward; an item that costs more goes alone.
        max_waiting_items: texts that may wait.
        max_waiting_tokens: tokens that may wait.
        max_waiting_s: work is refused where what waits already takes longer, as fast as the device
            has been lately; some batches may wait however slow it is.
        max_batch_items: rows of one forward; None: bounded by tokens only.
        lane_share: one adapter may hold at most this many times the room that is still free, so
            that a flood for one adapter always leaves room for the others.
        batch_share: of the room, that work of the class `batch` may take together.

    Raises:
        ValueError: a bound that lets nothing through.
    """

    max_batch_tokens: int = 4096
    max_waiting_items: int = 4096
    max_waiting_tokens: int = 262_144
    max_waiting_s: float = math.inf
    max_batch_items: int | None = None
    lane_share: float = 4.0
    batch_share: float = 0.5

    def __post_init__(self) -> None:
        for name in ("max_batch_tokens", "max_waiting_items", "max_waiting_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.max_waiting_s > 0:
            raise ValueError(f"max_waiting_s must be above 0, got {self.max_waiting_s}")
        if self.max_batch_items is not None and self.max_batch_items < 1:
            raise ValueError(f"max_batch_items must be at least 1, got {self.max_batch_items}")
        if not 0 < self.batch_share <= 1:
            raise ValueError(f"batch_share must be above 0 and at most 1, got {self.batch_share}")
        if self.lane_share < 1:
            raise ValueError(f"lane_share must be at least 1, got {self.lane_share}")
