"""How much of an upload is read at most."""

from dataclasses import dataclass, fields

from skhost.errors import InvalidRequest
from sktuning.config import MAX_LABELS

CSV_FIELD_CHARS = 131_072  # of Python's csv module; raising it would change the whole process


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Limits on one uploaded file; beyond one of them it is refused with the limit's value.

    Raises:
        InvalidRequest: a limit below 1, or more characters a text than a CSV field can have.
    """

    max_bytes: int = 512 << 20  # after decompression
    max_rows: int = 500_000
    max_columns: int = 1_000
    max_text_chars: int = 100_000  # a text, or the words of a row together
    max_line_chars: int = 4 << 20  # a physical line, or one object of a JSON array
    max_labels: int = MAX_LABELS
    max_label_chars: int = 512
    max_depth: int = 16  # of nested JSON values
    max_listed: int = 100  # problems listed one by one; all are counted

    def __post_init__(self) -> None:
        for limit in fields(self):
            if getattr(self, limit.name) < 1:
                raise InvalidRequest(f"{limit.name} must be at least 1")
        if self.max_text_chars > CSV_FIELD_CHARS:
            raise InvalidRequest(f"max_text_chars must be at most {CSV_FIELD_CHARS}")
