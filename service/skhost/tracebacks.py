"""Tracebacks for the log: where something failed, without what somebody had sent.

The message of an exception often quotes the value that it is about. It is shown only for the kinds
whose messages are about the machine or the code.
"""

import traceback
from collections.abc import Iterator

from redis.exceptions import RedisError

_TOLD = (
    *(RuntimeError, OSError, MemoryError, ArithmeticError, ImportError),
    *(AttributeError, NameError, RedisError),
)
WITHHELD = "(its message may quote a text and is not logged)"


def formatted(error: BaseException) -> str:
    """The traceback, causes first, as Python writes it but for the messages."""
    return "\n".join(_one(each) for each in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _chain(before)
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _chain(each)
    yield error


def _one(error: BaseException) -> str:
    where = "".join(traceback.format_tb(error.__traceback__))
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else _full_name(kind)
    message = str(error) if isinstance(error, _TOLD) else WITHHELD
    return f"Traceback (most recent call last):\n{where}{name}: {message}"


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
