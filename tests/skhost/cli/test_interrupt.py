"""Ctrl-C in the middle of a command."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from live_server import LiveServer

from skhost.client import Client


def test_ctrl_c_detaches_from_a_training_and_says_how_to_come_back(
    cli_server: LiveServer, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    rows = ({"text": f"text {i}", "label": f"l{i % 2}"} for i in range(20))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-m", "skhost", "train", str(file), "--name", "detached", "--json"]
    environment = {**os.environ, "SKHOST_URL": cli_server.url}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["state"] == "queued"  # it follows by now
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        said, last = process.stderr.read().splitlines()
    job_id = said.split()[1]
    assert last == (
        f"error: detached; job {job_id} goes on. Watch it: skhost jobs watch {job_id}. "
        f"Stop it: skhost jobs cancel {job_id}"
    )
    with Client(cli_server.url) as client:
        assert client.cancel(job_id)["state"] == "cancelled"
