"""Physical lines of a text file, each of bounded length."""

from collections.abc import Iterator
from io import TextIOWrapper
from typing import BinaryIO

from skhost.uploads.view import view_of


def read_lines(file: BinaryIO, codec: str, max_chars: int) -> Iterator[str]:
    """Each line with its own line end; a line beyond `max_chars` is cut to one character more.

    The caller tells a cut line by its length. LF, CRLF and a lone CR end a line.
    """
    with TextIOWrapper(view_of(file), encoding=codec, newline="") as text:
        while line := text.readline(max_chars + 1):
            yield line
            if len(line) > max_chars and not line.endswith(("\n", "\r")):
                _skip_rest(text, max_chars)


def _skip_rest(text: TextIOWrapper, max_chars: int) -> None:
    while rest := text.readline(max_chars):
        if rest.endswith(("\n", "\r")):
            return
