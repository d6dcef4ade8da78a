"""The character encoding of a text file, proved over all of its bytes before a row is read."""

import codecs
from typing import BinaryIO

from skhost.uploads.excerpt import excerpt

CHUNK_BYTES = 1 << 20
_MARKS = (  # UTF-32's little-endian mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_RESAVE = (
    "save it as UTF-8 (in Excel: Save As, CSV UTF-8; in a shell: "
    "iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW)"
)


class BadEncoding(Exception):
    """A file that is no text, or text in an encoding that is not read."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


def find_encoding(file: BinaryIO) -> str:
    """The codec's name: utf-8, utf-8-sig (with a byte-order mark) or utf-16.

    Raises:
        BadEncoding: the first byte that does not fit, with its offset and line.
    """
    file.seek(0)
    head = file.read(4096)
    codec = next((codec for mark, codec in _MARKS if head.startswith(mark)), "utf-8")
    if codec == "utf-32":
        raise BadEncoding("encoded as UTF-32; save it as UTF-8")
    if codec == "utf-8" and _looks_like_utf16(head):
        raise BadEncoding("looks like UTF-16 without a byte-order mark; save it as UTF-8")
    _prove(file, codec)
    return codec


def _looks_like_utf16(head: bytes) -> bool:
    """Latin letters in UTF-16 have a zero in every other byte."""
    half = max(len(head) // 2, 1)
    odd, even = head[1::2].count(0), head[0::2].count(0)
    return max(odd, even) > 0.4 * half and min(odd, even) < 0.1 * half


def _prove(file: BinaryIO, codec: str) -> None:
    decoder = codecs.getincrementaldecoder(codec)()
    file.seek(0)
    offset, line = 0, 1
    while True:
        chunk = file.read(CHUNK_BYTES)
        pending = len(decoder.getstate()[0])
        try:
            line += decoder.decode(chunk, final=not chunk).count("\n")
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n")
            at = offset - pending + error.start + _mark_bytes(error, codec, offset)
            raise BadEncoding(_said(file, codec, at), line) from error
        if not chunk:
            return
        offset += len(chunk)


def _mark_bytes(error: UnicodeDecodeError, codec: str, offset: int) -> int:
    """Bytes of the mark that the decoder took off before it decoded the first chunk."""
    has_lost_mark = codec == "utf-8-sig" and not offset and not error.object.startswith(
        codecs.BOM_UTF8
    )  # fmt: skip
    return len(codecs.BOM_UTF8) if has_lost_mark else 0


def _said(file: BinaryIO, codec: str, at: int) -> str:
    if codec == "utf-16":
        return f"broken UTF-16 at byte {at}; save it as UTF-8"
    file.seek(at)
    following = file.read(40)
    shown = excerpt(following.split(b"\n")[0].decode("cp1252", errors="backslashreplace"), 30)
    return (
        f"not UTF-8: byte 0x{following[0]:02X} at offset {at}; read as "
        f"Windows-1252 the place would be {shown}. If that is right, {_RESAVE}"
    )
