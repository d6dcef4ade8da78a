"""What serving on a processor is asked to reach, and what was predicted before it was measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio of a row of the table.

    Attributes:
        wanted: the row.
        ratio: its column.
        least: what is asked for.
        predicted: what its author expected before the run.
    """

    title: str
    wanted: Mapping[str, Any]
    ratio: str
    least: float
    predicted: float


_ENGINE = {"rung": "engine", "dtype": "bfloat16"}
_THOUSAND = {**_ENGINE, "adapters": 1000}
GOALS = (
    Goal(
        "1,000 adapters by Zipf ÷ one adapter",
        {**_THOUSAND, "pattern": "zipf"},
        "to_one_adapter",
        0.95,
        0.99,
    ),
    Goal(
        "1,000 adapters, all distinct ÷ base without adapters",
        {**_THOUSAND, "pattern": "distinct"},
        "to_base",
        0.85,
        0.92,
    ),
    Goal(
        "packed forward ÷ ceiling, bfloat16",
        {"rung": "base", "dtype": "bfloat16"},
        "to_ceiling",
        0.60,
        0.70,
    ),
    Goal(
        "packed forward ÷ ceiling, float32",
        {"rung": "base", "dtype": "float32"},
        "to_ceiling",
        0.60,
        0.82,
    ),
    Goal(
        "engine in bfloat16 ÷ in float32",
        {**_ENGINE, "pattern": "one"},
        "to_float32",
        1.80,
        1.75,
    ),
)
