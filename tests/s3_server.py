"""A real S3 API server (moto's), reached over HTTP like any other."""

from collections.abc import Iterator
from contextlib import contextmanager

import fsspec
import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

BUCKET = "adapters"


@contextmanager
def s3_server() -> Iterator[str]:
    """URL of a bucket. This process and its children find the server by their environment."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "tests")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "tests")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        environment.setenv("NO_PROXY", "127.0.0.1")
        try:
            fsspec.filesystem("s3").mkdir(BUCKET)
            yield f"s3://{BUCKET}"
        finally:
            server.stop()
