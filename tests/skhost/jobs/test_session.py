import subprocess
import sys
from pathlib import Path

import pytest

from skhost.jobs.session import GROUP, give_way

SCRIPT = "from skhost.jobs.session import GROUP, give_way; print(give_way(7), end=' '); "
SCRIPT += "print(GROUP.read_text().split()[-1])"


@pytest.mark.skipif(not GROUP.exists(), reason="this kernel schedules no sessions")
def test_a_session_of_its_own_gives_way() -> None:
    command = [sys.executable, "-c", SCRIPT]
    ran = subprocess.run(
        command, capture_output=True, text=True, start_new_session=True, check=True
    )
    assert ran.stdout.split() == ["True", "7"]


def test_somebody_else_s_session_is_left_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from skhost.jobs.session import *; print(give_way(7))"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_a_kernel_without_such_groups_is_no_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getsid", lambda _: __import__("os").getpid())
    assert not give_way(7, tmp_path / "not" / "there")
