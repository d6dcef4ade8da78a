"""What a server loads before it is ready."""

import subprocess
import sys


def test_what_does_not_compute_loads_no_torch() -> None:
    """Hundreds of megabytes a process: the supervisor, the worker, and a training that waits."""
    modules = "skhost.server, skhost.supervise, skhost.cli.serve, skhost.worker, skhost.jobs.run"
    code = f"import sys, {modules}; sys.exit(str('torch' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "False"


def test_a_server_loads_no_statistics() -> None:
    heavy = "{'sklearn', 'scipy.stats', 'seqeval'}"
    code = f"import sys, skhost.app; sys.exit(str(sorted({heavy} & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"
