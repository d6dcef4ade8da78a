"""Physical lines of a text file, each of bounded length."""

from collections.abc import Iterator
from io import TextIOWrapper
from typing import BinaryIO


def read_lines(file: BinaryIO, codec: str, max_chars: int) -> Iterator[str]:
    """Each line with its own line end; a line beyond `max_chars` is cut to one character more.

    The caller tells a cut line by its length. LF, CRLF and a lone CR end a line.
    """
    file.seek(0)
    text = TextIOWrapper(file, encoding=codec, newline="")
    try:
        while line := text.readline(max_chars + 1):
            yield line
            if len(line) > max_chars and not line.endswith(("\n", "\r")):
                _skip_rest(text, max_chars)
    finally:
        text.detach()


def _skip_rest(text: TextIOWrapper, max_chars: int) -> None:
    while rest := text.readline(max_chars):
        if rest.endswith(("\n", "\r")):
            return
