"""`make demo` as a newcomer sees it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo.py"


def demo(base: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(DEMO), "--exit"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SKHOST_BASE": str(base)},
    )


@pytest.mark.timeout(300)
def test_the_demo_shows_its_steps_and_nothing_of_the_audit_log(tiny_bert_folder: Path) -> None:
    done = demo(tiny_bert_folder)
    assert done.returncode == 0, done.stderr
    assert "sentiment@1 answers now" in done.stdout
    assert '"results":[{"label":' in done.stdout
    assert "trains sentiment" in done.stderr
    assert "skhost.audit" not in done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_sigterm_takes_the_service_along(tiny_bert_folder: Path, tmp_path: Path) -> None:
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-u", str(DEMO), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "SKHOST_BASE": str(tiny_bert_folder)},
        ) as process,
    ):
        assert process.stdout is not None
        assert any(line.startswith("ready at ") for line in process.stdout)
        started = psutil.Process(process.pid).children(recursive=True)
        assert any("up" in child.cmdline() for child in started)
        process.terminate()
        process.communicate(timeout=90)
    assert process.returncode == 128 + signal.SIGTERM
    _, left = psutil.wait_procs(started, timeout=5)
    assert left == []


@pytest.mark.timeout(300)
def test_what_keeps_the_service_from_starting_is_shown(tmp_path: Path) -> None:
    done = demo(tmp_path / "nowhere")
    assert done.returncode == 1
    assert "error: the service" in done.stderr
    assert str(tmp_path / "nowhere") in done.stderr.partition("error: the service")[0]
