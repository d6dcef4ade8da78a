"""The API process reads uploads, so reading them must not load the machine-learning stack."""

import subprocess
import sys


def test_reading_needs_no_torch() -> None:
    code = "import sys, skhost.uploads; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
