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
        least: what is asked for; where `is_most`, no more than that.
        predicted: what its author expected before the run.
    """

    title: str
    wanted: Mapping[str, Any]
    ratio: str
    least: float
    predicted: float
    is_most: bool = False

    @property
    def asked(self) -> str:
        """What is asked for, in words."""
        return f"at most {self.least:g}" if self.is_most else f"{self.least:.2f}"


_ENGINE = {"rung": "engine", "dtype": "bfloat16"}
_SINGLE = {"rung": "http", "load": "closed", "texts": 1}
_BATCHES = {"rung": "http", "load": "closed", "texts": 32}
_INFINITY = {"rung": "peer", "peer": "infinity"}
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
    Goal("HTTP ÷ engine, batches of 32 by 8 clients", _BATCHES, "to_engine", 0.90, 0.90),
    Goal("HTTP ÷ engine, single texts by 64 clients", _SINGLE, "to_engine", 0.70, 0.75),
    Goal(
        "p99 at half of saturation ÷ one row alone",
        {"rung": "http", "load": "open", "offered": 0.5},
        "p99_to_alone",
        6,
        6.0,
        is_most=True,
    ),
    Goal("overload: accepted ÷ saturation", {"rung": "overload"}, "to_saturation", 0.95, 0.97),
    Goal("others' p99 ÷ without a flood", {"rung": "flood"}, "to_without", 2, 1.2, is_most=True),
    Goal(
        "ours ÷ PEFT, switching", {"rung": "peer", "peer": "PEFT, switching"}, "ours_to_it", 6, 5.0
    ),
    Goal(
        "ours ÷ PEFT, grouped by adapter",
        {"rung": "peer", "peer": "PEFT, grouped by adapter"},
        "ours_to_it",
        3.5,
        3.0,
    ),
    Goal(
        "ours ÷ PEFT, mixed LoRA batch",
        {"rung": "peer", "peer": "PEFT, mixed LoRA batch"},
        "ours_to_it",
        3.5,
        3.0,
    ),
    Goal("ours ÷ infinity, single texts", {**_INFINITY, "texts": 1}, "ours_to_it", 2.5, 2.0),
    Goal("ours ÷ infinity, batches of 32", {**_INFINITY, "texts": 32}, "ours_to_it", 2.2, 2.2),
    Goal(
        "cold adapter: more ms than warm, p99",
        {"rung": "cold adapter"},
        "more_ms",
        30,
        10.0,
        is_most=True,
    ),
    Goal("publish to first answer, ms", {"rung": "publish"}, "here_ms", 100, 20.0, is_most=True),
    Goal(
        "publish to first answer of a second replica, ms",
        {"rung": "publish"},
        "replica_ms",
        500,
        60.0,
        is_most=True,
    ),
    Goal("working set ÷ all resident", {"rung": "working set"}, "to_all_resident", 0.5, 0.5),
    Goal(
        "p99 beside training ÷ without",
        {"rung": "beside training"},
        "to_without",
        2.5,
        2.0,
        is_most=True,
    ),
)
