"""What a logged traceback says, and what it keeps to itself."""

import pytest

from skhost.tracebacks import WITHHELD, formatted

TEXT = "my very private text"


def failing(error: Exception) -> None:
    raise error


def caught(error: Exception) -> str:
    try:
        failing(error)
    except Exception as found:
        return formatted(found)
    raise AssertionError("it did not fail")


def test_it_says_where_and_what_kind() -> None:
    text = caught(KeyError(TEXT))
    assert text.startswith("Traceback (most recent call last):")
    assert "in failing" in text
    assert text.endswith(f"KeyError: {WITHHELD}")


@pytest.mark.parametrize("kind", [ValueError, TypeError, KeyError, IndexError, AssertionError])
def test_a_message_that_may_quote_a_text_is_not_told(kind: type[Exception]) -> None:
    assert TEXT not in caught(kind(TEXT))


@pytest.mark.parametrize("kind", [RuntimeError, OSError, MemoryError, AttributeError])
def test_a_message_about_the_machine_is_told(kind: type[Exception]) -> None:
    assert "no device left" in caught(kind("no device left"))


def test_the_cause_comes_first() -> None:
    error = RuntimeError("second")
    error.__cause__ = OSError("first")
    text = caught(error)
    assert text.index("OSError: first") < text.index("RuntimeError: second")


def test_a_hidden_cause_stays_hidden() -> None:
    error = RuntimeError("second")
    error.__context__ = OSError("first")
    error.__suppress_context__ = True
    assert "first" not in caught(error)


def test_all_of_a_group_are_told() -> None:
    text = caught(ExceptionGroup("both", [OSError("one"), ValueError(TEXT)]))
    assert "OSError: one" in text
    assert "ValueError:" in text
    assert TEXT not in text
