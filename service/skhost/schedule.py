"""How urgent work is, and until when it is of use: values only."""

from dataclasses import dataclass
from enum import StrEnum


class Priority(StrEnum):
    """Who goes first, the most urgent first; none waits for ever."""

    INTERACTIVE = "interactive"  # somebody waits for the answer
    BATCH = "batch"  # takes what is left, and a small share where nothing is


# Tokens that a class gets for each that another gets, while both have work waiting.
SHARES = {Priority.INTERACTIVE: 8, Priority.BATCH: 1}


@dataclass(frozen=True, slots=True)
class Schedule:
    """When work is to be done.

    Attributes:
        deadline: the event loop's time by which the answers are of use.
    """

    deadline: float
    priority: Priority = Priority.INTERACTIVE
