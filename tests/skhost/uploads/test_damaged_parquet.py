"""Parquet that contradicts itself is refused; pyarrow must not take the process along."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upload_files import make_rows, read, refused

from skhost.errors import UploadRefused
from skhost.uploads.footer import MAX_FOOTER_BYTES, most_values


def parquet(rows: list[dict[str, object]], **options: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer, **options)
    return buffer.getvalue()


def footer_of(content: bytes) -> range:
    length = int.from_bytes(content[-8:-4], "little")
    return range(len(content) - 8 - length, len(content) - 8)


@pytest.mark.parametrize("bit", [1, 2, 4, 0x80])
def test_a_bit_turned_over_anywhere_in_the_footer_is_refused_or_harmless(bit: int) -> None:
    content = parquet(make_rows(6), store_schema=False)
    num_refused = 0
    for at in footer_of(content):
        damaged = bytearray(content)
        damaged[at] ^= bit
        try:
            read(bytes(damaged))
        except UploadRefused:
            num_refused += 1
    assert num_refused > 20


def test_a_column_name_that_is_no_utf_8_is_refused() -> None:
    content = parquet(make_rows(6), store_schema=False).replace(b"label", b"l\x96bel")
    assert "its footer cannot be read" in refused(content).message


@pytest.mark.parametrize("group", [3, 100])
def test_the_largest_column_chunk_is_as_pyarrow_counts_it(group: int) -> None:
    rows = [{"text": "t", "label": ["a"] * i, "n": i / 2, "b": i > 3} for i in range(10)]
    content = parquet([*rows], row_group_size=group)
    metadata = pq.ParquetFile(io.BytesIO(content)).metadata
    counts = [
        metadata.row_group(index).column(column).num_values
        for index in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    ]
    assert most_values(io.BytesIO(content)) == max(counts)


@pytest.mark.parametrize("length", [0, 5000, MAX_FOOTER_BYTES + 1])
def test_a_footer_that_cannot_be_there_is_not_looked_for(length: int) -> None:
    with pytest.raises(ValueError, match=f"a footer of {length} bytes"):
        most_values(io.BytesIO(b"PAR1" + length.to_bytes(4, "little") + b"PAR1"))


@pytest.mark.parametrize(
    ("footer", "reason"),
    [
        (b"\x19" + b"\x1c" * 3, "ends too early"),
        (b"\x19\x19" * 40, "nested too deeply"),
        (b"\x1e", "type 14"),
        (b"\x16" + b"\xff" * 20, "without end"),
        (b"\x18\xff\x7f", "ends too early"),
    ],
)
def test_a_malformed_footer_is_told(footer: bytes, reason: str) -> None:
    content = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    with pytest.raises(ValueError, match=reason):
        most_values(io.BytesIO(content))
