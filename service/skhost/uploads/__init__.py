"""Uploaded files as training data.

`read_dataset` turns a file on disk into a `sktuning.data.Dataset` and a `ReadReport`, or raises
`skhost.errors.UploadRefused` whose details list every problem with its line. It is synchronous,
bounded by `ReadLimits`, and imports no torch, so the API runs it in a thread before it accepts a
job. It knows nothing of HTTP, jobs or tokenizers, and writes nothing that outlives the call.

A file is recognised by its content: CSV with `,`, tab, `;` or `|`, JSON Lines, a JSON array or
Parquet, each also gzipped; text is UTF-8, or UTF-16 with a byte-order mark. Texts are never
changed. Label names lose their outer white space, which the report says.
"""

from skhost.uploads.limits import ReadLimits
from skhost.uploads.problems import Problem
from skhost.uploads.read import read_dataset
from skhost.uploads.report import ReadReport, ReadResult
from skhost.uploads.request import ColumnChoice, ReadRequest

__all__ = [
    "ColumnChoice",
    "Problem",
    "ReadLimits",
    "ReadReport",
    "ReadRequest",
    "ReadResult",
    "read_dataset",
]
