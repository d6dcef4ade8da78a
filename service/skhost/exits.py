"""Exit codes that one of our processes gives another, and the way out that nothing holds up."""

import logging
import os
import sys
from typing import Final, NoReturn

WRONG_USE: Final = 2  # options or settings that cannot work
CANNOT_START: Final = 3  # nor would it, started again
DEVICE_FAILED: Final = 4  # its device or its base; another process can do better
TRY_LATER: Final = 5  # what it needs is away, or full; that is no fault of its own

NOT_AGAIN: Final = frozenset({WRONG_USE, CANNOT_START})


def leave(code: int) -> NoReturn:
    """End the process at once: a thread cut off in torch would keep it for minutes, or for ever."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
