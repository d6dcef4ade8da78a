"""An uploaded file, unpacked and ready to be read from its start more than once."""

import gzip
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from skhost.uploads.content import GZIP
from skhost.uploads.problems import Findings

CHUNK_BYTES = 1 << 20


@contextmanager
def opened(path: Path, findings: Findings) -> Iterator[BinaryIO]:
    """The file's own bytes, seekable; a gzipped one is unpacked into an unnamed temporary file.

    Raises:
        UploadRefused: empty, too large unpacked, or a damaged gzip stream.
    """
    with path.open("rb") as file:
        if not file.read(1):
            raise findings.refusal("empty_file", "the file is empty")
        file.seek(0)
        if file.read(2) == GZIP:
            findings.compression = "gzip"
            with tempfile.TemporaryFile() as unpacked:
                _unpack(file, cast(BinaryIO, unpacked), findings)
                yield cast(BinaryIO, unpacked)
            return
        _check_size(path.stat().st_size, findings)
        yield file


def _unpack(file: BinaryIO, unpacked: BinaryIO, findings: Findings) -> None:
    file.seek(0)
    size = 0
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                size += len(chunk)
                _check_size(size, findings)
                unpacked.write(chunk)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        reason = "ends too early" if isinstance(error, EOFError) else "is damaged"
        message = f"the gzip stream {reason} after {size:,} bytes of content; compress it again"
        raise findings.refusal("damaged_gzip", message) from error
    if not size:
        raise findings.refusal("empty_file", "the gzip file holds an empty file")
    unpacked.seek(0)
    if unpacked.read(2) == GZIP:
        raise findings.refusal("double_gzip", "gzip inside gzip; compress the file once")


def _check_size(size: int, findings: Findings) -> None:
    limit = findings.limits.max_bytes
    if size > limit:
        unpacked = " when unpacked" if findings.compression else ""
        raise findings.refusal("too_large", f"larger than {limit:,} bytes{unpacked}, the limit")
