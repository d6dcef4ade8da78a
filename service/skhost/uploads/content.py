"""What a file is, by its first bytes; its name tells only what an unreadable one should be."""

from enum import StrEnum

HEAD_BYTES = 8192  # enough for every signature looked for
GZIP = b"\x1f\x8b"


class Format(StrEnum):
    """How rows are written in a file."""

    CSV = "csv"  # any delimiter
    JSON_LINES = "jsonl"
    JSON_ARRAY = "json"
    PARQUET = "parquet"


_EXPORT = "export the sheet as CSV (in Excel: Save As, CSV UTF-8) and upload that"
_UNPACK = "unpack it and upload the file inside"
_TABLE = "upload CSV, JSON Lines, a JSON array or Parquet"

# In order: a longer signature comes before a shorter one that it begins with.
_REFUSED: tuple[tuple[bytes, str, str], ...] = (
    (b"PARE", "an encrypted Parquet file", "write it without encryption"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook or other old Office file", _EXPORT),
    (b"%PDF", "a PDF document", _TABLE),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"BZh", "a bzip2 file", _UNPACK + ", or compress it with gzip"),
    (b"\xfd7zXZ\x00", "an xz file", _UNPACK + ", or compress it with gzip"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", _UNPACK + ", or compress it with gzip"),
    (b"SQLite format 3\x00", "an SQLite database", "export the table as CSV"),
    (b"ARROW1", "an Arrow (Feather) file", "write it as Parquet"),
    (b"FEA1", "a Feather file", "write it as Parquet"),
    (b"ORC", "an ORC file", "write it as Parquet"),
    (b"Obj\x01", "an Avro file", "write it as Parquet"),
    (b"\x89HDF", "an HDF5 file", "write it as Parquet"),
    (b"\x93NUMPY", "a NumPy array", _TABLE),
    (b"\x89PNG", "a PNG image", _TABLE),
    (b"\xff\xd8\xff", "a JPEG image", _TABLE),
    (b"GIF8", "a GIF image", _TABLE),
    (b"GGUF", "a GGUF model", _TABLE),
    (b"\x7fELF", "a program", _TABLE),
    (b"{\\rtf", "a Rich Text document", _TABLE),
)
_ZIPPED = (
    (b"xl/", "an Excel workbook", _EXPORT),
    (b"opendocument.spreadsheet", "an OpenDocument spreadsheet", _EXPORT),
    (b"word/", "a Word document", _TABLE),
    (b"ppt/", "a PowerPoint presentation", _TABLE),
)
_MARKUP = (b"<!doctype html", b"<html", b"<?xml", b"<svg")
_OLD_PICKLE = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def refused_kind(head: bytes, tail: bytes) -> tuple[str, str] | None:
    """What a file that is never read is, and what to do instead; None if it may be readable.

    The tail matters for ZIP files only: their list of names is at the end.
    """
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_kind(head + tail)
    for signature, kind, advice in _REFUSED:
        if head.startswith(signature):
            return kind, advice
    if len(head) > 262 and head[257:262] == b"ustar":
        return "a tar archive", _UNPACK
    if head.startswith(_OLD_PICKLE):
        return "a Python pickle, which is never opened", _TABLE
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:16].lower().startswith(_MARKUP):
        return "an HTML or XML page", _TABLE
    return None


def _zip_kind(names: bytes) -> tuple[str, str]:
    for mark, kind, advice in _ZIPPED:
        if mark in names:
            return kind, advice
    return "a ZIP archive", _UNPACK


def text_format(start: str) -> Format:
    """The format of a text file that starts with `start`."""
    first = start.lstrip()[:1]
    if first == "{":
        return Format.JSON_LINES
    return Format.JSON_ARRAY if first == "[" else Format.CSV
