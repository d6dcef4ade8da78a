"""What a caller may say about an upload; everything else is found in the file."""

from dataclasses import dataclass, field
from typing import Literal

from skhost.errors import InvalidRequest
from skhost.uploads.limits import ReadLimits
from sktuning.config import Task

BadRows = Literal["refuse", "skip"]
MAX_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    """Columns by name; None: found by their usual names. `ignore` lists columns to leave unread."""

    text: str | None = None
    text_pair: str | None = None
    label: str | None = None  # the target, whatever the task: label, labels, score or tags
    tokens: str | None = None
    id: str | None = None
    split: str | None = None
    ignore: tuple[str, ...] = ()

    def named(self) -> dict[str, str]:
        """Role to column name, for the roles that were named."""
        roles = ("text", "text_pair", "label", "tokens", "id", "split")
        return {role: name for role in roles if (name := getattr(self, role)) is not None}


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """How to read an upload.

    Raises:
        InvalidRequest: a held-out fraction or seed out of range, or an unknown policy.
    """

    task: Task | None = None  # None: decided by the content
    columns: ColumnChoice = field(default_factory=ColumnChoice)
    on_bad_rows: BadRows = "refuse"
    held_out_fraction: float | None = None  # None: 0.1, at most about 2,000 rows
    seed: int = 0
    limits: ReadLimits = field(default_factory=ReadLimits)

    def __post_init__(self) -> None:
        if self.on_bad_rows not in ("refuse", "skip"):
            raise InvalidRequest(f"on_bad_rows must be refuse or skip, got {self.on_bad_rows!r}")
        fraction = self.held_out_fraction
        if fraction is not None and not 0 < fraction <= 0.5:
            raise InvalidRequest(
                f"held_out_fraction must be above 0 and at most 0.5, got {fraction}"
            )
        if not 0 <= self.seed <= MAX_SEED:
            raise InvalidRequest(f"seed must be between 0 and {MAX_SEED}, got {self.seed}")
