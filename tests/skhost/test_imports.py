"""What a server loads before it is ready."""

import subprocess
import sys


def test_a_server_loads_no_statistics() -> None:
    heavy = "{'sklearn', 'scipy.stats', 'seqeval'}"
    code = f"import sys, skhost.app; sys.exit(str(sorted({heavy} & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"
