"""The columns of rows that are objects."""

from collections.abc import Iterable

from skhost.uploads.problems import Findings
from skhost.uploads.records import Record


def keys_found(records: Iterable[Record], findings: Findings) -> tuple[str, ...]:
    """All keys of the records, in the order in which they are first seen.

    Raises:
        UploadRefused: more keys than the limit on columns.
    """
    keys: dict[str, None] = {}
    limit = findings.limits.max_columns
    for record in records:
        keys.update(dict.fromkeys(record.cells or ()))
        if len(keys) > limit:
            message = f"rows have more than {limit:,} different keys, the limit"
            raise findings.refusal("too_many_columns", message)
    findings.columns = tuple(keys)
    return findings.columns
