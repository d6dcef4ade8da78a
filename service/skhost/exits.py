"""Exit codes that one of our processes gives another."""

from typing import Final

WRONG_USE: Final = 2  # options or settings that cannot work
CANNOT_START: Final = 3  # nor would it, started again

NOT_AGAIN: Final = frozenset({WRONG_USE, CANNOT_START})
