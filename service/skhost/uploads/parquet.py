"""Parquet files."""

from collections.abc import Iterator, Set
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skhost.uploads.footer import most_values
from skhost.uploads.problems import Findings
from skhost.uploads.records import Record
from skhost.uploads.view import view_of

BATCH_ROWS = 512
VALUE_BYTES = 16  # of memory that a value of a list takes at least, however little of the file
FREE_VALUES = 1 << 20  # a column chunk may hold as many whatever the file's size
VALUES_A_BYTE = 8  # and beyond that, of the file: the texts or words beside them take more
CHAR_BYTES = 4  # of a character at most
LONG_BYTES = 1 << 16  # of a value: beyond it rows become Python values one by one
# Whatever a damaged file makes of pyarrow: names that are no UTF-8, dates that no calendar has, …
_DAMAGE = (pa.ArrowException, OSError, ValueError, OverflowError)


class Parquet:
    """A Parquet file; only the wanted columns are read, a few hundred rows at a time.

    A few kilobytes of Parquet can stand for any amount of text: one value a million times. So
    texts stay dictionaries until their sizes have been added up.
    """

    is_text = False

    def __init__(self, file: BinaryIO, findings: Findings) -> None:
        self._file = file
        self._findings = findings
        self._parquet, self.columns, most = self._open()
        findings.columns = self.columns
        self._num_bytes = 0
        self._check_counts(most)

    def records(self, wanted: Set[str]) -> Iterator[Record]:
        """Every row, as plain values."""
        names = [name for name in self.columns if name in wanted]
        self._check_types(names)
        number = 0
        try:
            for batch in self._batches(names):
                step = 1 if self._longest_of(batch) > LONG_BYTES else BATCH_ROWS
                for start in range(0, batch.num_rows, step):
                    for cells in batch.slice(start, step).to_pylist():
                        number += 1
                        yield Record(number, cells)
        except _DAMAGE as error:
            raise self._damaged(f"cannot be read after record {number}") from error

    def _open(self) -> tuple[pq.ParquetFile, tuple[str, ...], int]:
        """The file, its columns' names, and the values in its largest column chunk."""
        try:
            most = most_values(self._file)
            parquet = pq.ParquetFile(view_of(self._file))
            return parquet, tuple(parquet.schema_arrow.names), most
        except _DAMAGE as error:
            raise self._damaged("its footer cannot be read; is it complete?") from error

    def _check_counts(self, most: int) -> None:
        limits, metadata = self._findings.limits, self._parquet.metadata
        if metadata.num_rows > limits.max_rows:
            message = f"{metadata.num_rows:,} rows; at most {limits.max_rows:,} are read"
            raise self._findings.refusal("too_many_rows", message)
        if len(self.columns) > limits.max_columns:
            message = f"{len(self.columns):,} columns; at most {limits.max_columns:,} are read"
            raise self._findings.refusal("too_many_columns", message)
        if len(set(self.columns)) != len(self.columns):
            message = "two columns have the same name; rename one"
            raise self._findings.refusal("repeated_column", message)
        by_file = max(FREE_VALUES, VALUES_A_BYTE * self._file.seek(0, 2))
        if most > min(by_file, limits.max_bytes // VALUE_BYTES):
            raise self._too_large()

    def _check_types(self, names: list[str]) -> None:
        for name in names:
            kind = self._parquet.schema_arrow.field(name).type
            while pa.types.is_list(kind) or pa.types.is_large_list(kind):
                kind = kind.value_type
            if pa.types.is_nested(kind):
                message = f"the column holds values of type {str(kind)[:60]}, which are not read"
                raise self._findings.refusal("column_type", message, column=name)

    def _batches(self, names: list[str]) -> Iterator[pa.RecordBatch]:
        schema = self._parquet.schema
        leaves = (schema.column(index) for index in range(len(schema)))
        texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
        file = pq.ParquetFile(view_of(self._file), read_dictionary=texts)
        yield from file.iter_batches(batch_size=BATCH_ROWS, columns=names, use_threads=False)

    def _longest_of(self, batch: pa.RecordBatch) -> int:
        """Bytes of the longest value; adds up all of them on the way."""
        longest = 0
        for column in batch.columns:
            self._check_lists(column)
            lengths = _byte_lengths(column)
            if lengths is not None:
                self._num_bytes += pc.sum(lengths).as_py() or 0
                longest = max(longest, pc.max(lengths).as_py() or 0)
        limits = self._findings.limits
        if self._num_bytes > limits.max_bytes:
            raise self._too_large()
        if longest > CHAR_BYTES * limits.max_line_chars:
            message = f"a value is longer than {limits.max_line_chars:,} characters"
            raise self._findings.refusal("value_too_long", message)
        return longest

    def _check_lists(self, column: pa.Array) -> None:
        """Refuses a list of more values than a row's words could have characters."""
        limit = self._findings.limits.max_text_chars
        while pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            if (pc.max(pc.list_value_length(column)).as_py() or 0) > limit:
                message = f"a list has more than {limit:,} values"
                raise self._findings.refusal("value_too_long", message)
            column = column.flatten()

    def _too_large(self) -> Exception:
        message = f"larger than {self._findings.limits.max_bytes:,} bytes when unpacked, the limit"
        return self._findings.refusal("too_large", message)

    def _damaged(self, reason: str) -> Exception:
        return self._findings.refusal("damaged_parquet", f"a damaged Parquet file: {reason}")


def _byte_lengths(column: pa.Array) -> pa.Array | None:
    """Of each text in the column; None if it holds no texts."""
    while pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        column = column.flatten()
    if not pa.types.is_dictionary(column.type):
        return None
    return pc.take(pc.binary_length(column.dictionary), column.indices)
