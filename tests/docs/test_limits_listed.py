"""The limits that docs/security.md lists are those of the code."""

import re
from pathlib import Path

import pytest

from skhost.api.form import MAX_FIELD_BYTES, MAX_PARTS
from skhost.archive import ArchiveLimits
from skhost.settings import PREFIX, Settings
from skhost.uploads import ReadLimits
from skhost.uploads.footer import MAX_FOOTER_BYTES
from skhost.uploads.parquet import CHAR_BYTES, FREE_VALUES, VALUE_BYTES, VALUES_A_BYTE
from sktuning.config import MAX_VIRTUAL_TOKENS
from sktuning.document import MAX_DEPTH
from sktuning.header import MAX_DIMS, MAX_HEADER_BYTES, MAX_TENSORS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"
_ROW = re.compile(r"^\| ([^|]+) \| ([\d,]+) \| (?:`(\w+)`)? ?\|$", re.MULTILINE)
_READ, _ARCHIVE = ReadLimits(), ArchiveLimits()
FIXED = {
    "an uploaded file unpacked (gzip, Parquet), bytes": _READ.max_bytes,
    "rows an upload": _READ.max_rows,
    "columns an upload": _READ.max_columns,
    "characters a text or a row's words": _READ.max_text_chars,
    "characters a line or JSON object": _READ.max_line_chars,
    "labels": _READ.max_labels,
    "characters a label": _READ.max_label_chars,
    "depth of JSON in an upload": _READ.max_depth,
    "Parquet's footer, bytes": MAX_FOOTER_BYTES,
    "values a column chunk of Parquet": _READ.max_bytes // VALUE_BYTES,
    f"values a column chunk of Parquet with more than {FREE_VALUES:,}, a byte of the file": (
        VALUES_A_BYTE
    ),
    "values a list in Parquet": _READ.max_text_chars,
    "a value in Parquet, bytes": CHAR_BYTES * _READ.max_line_chars,
    "parts of a form": MAX_PARTS,
    "a form's field, bytes": MAX_FIELD_BYTES,
    "an archive unpacked, bytes": _ARCHIVE.expanded_bytes,
    "an archive unpacked, times its size": int(_ARCHIVE.ratio),
    "a file in an archive, bytes": _ARCHIVE.file_bytes,
    "depth of JSON in an artifact": MAX_DEPTH,
    "a tensor file's header, bytes": MAX_HEADER_BYTES,
    "tensors a file": MAX_TENSORS,
    "dimensions a tensor": MAX_DIMS,
    "virtual tokens": MAX_VIRTUAL_TOKENS,
}


@pytest.fixture(scope="module")
def listed() -> dict[str, tuple[int, str]]:
    """Each row of the table: what, how many, and the setting."""
    rows = _ROW.findall(PAGE.read_text())
    return {what: (int(number.replace(",", "")), setting) for what, number, setting in rows}


def test_fixed_limits(listed: dict[str, tuple[int, str]]) -> None:
    assert {what: n for what, (n, setting) in listed.items() if not setting} == FIXED


def test_limits_with_a_setting(listed: dict[str, tuple[int, str]]) -> None:
    found = {setting.removeprefix(PREFIX).lower(): n for n, setting in listed.values() if setting}
    defaults = {name: Settings.model_fields[name].default for name in found}
    assert found == defaults
    assert len(found) == 6
