"""A service's processes as benchmarks find them."""

import os
import subprocess
import sys

import psutil
from children import children_of
from live_server import wait_until


def test_a_child_that_waits_to_be_reaped_is_left_out() -> None:
    command = [sys.executable, "-c", "input()"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE) as runs,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as ended,
    ):
        wait_until(lambda: psutil.Process(ended.pid).status() == psutil.STATUS_ZOMBIE)
        found = {child.process.pid: child for child in children_of(os.getpid())}
        assert ended.pid not in found
        assert found[runs.pid].line == command
        assert found[runs.pid].memory_bytes > 0
        runs.kill()
