"""`skhost up` as a user runs it: processes, signals, a training, restarts and kills."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from live_server import wait_until
from running_up import environment, skhost_up

from skhost.client import Client

ROWS = [
    {"text": f"{word} {thing}", "label": label}
    for thing in ("film", "book", "meal", "hotel", "phone", "train", "song", "room", "shop", "tea")
    for word, label in (
        *(("a wonderful", "good"), ("an excellent", "good")),
        *(("a terrible", "bad"), ("an awful", "bad")),
    )
]


@pytest.mark.timeout(400)
def test_what_was_trained_answers_and_still_does_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    texts = ["an awful car", "a wonderful car"]
    with skhost_up(tmp_path / "data") as up, Client(up.url) as client:
        job_id = client.train(file, "taste", epochs=2)["id"]
        events = list(client.events(job_id))
        states = [e.data["state"] for e in events if e.kind == "state"]
        assert states[0] == "queued"
        assert states[-1] == "succeeded"
        assert any(e.kind == "progress" and e.data["step"] > 0 for e in events)
        before = client.classify("taste", texts=texts)
        assert [item["label"] for item in before["results"]] == ["bad", "good"]
        job = client.job(job_id)
        assert job["result"]["digest"] == before["digest"]
        assert job["result"]["metrics"]["accuracy"] > 0.5
        assert up.stop() == 0
    with skhost_up(tmp_path / "data") as up, Client(up.url) as client:
        after = client.classify("taste", texts=texts)
        assert after["digest"] == before["digest"]
        assert [item["label"] for item in after["results"]] == ["bad", "good"]
        assert client.adapter("taste")["aliases"] == {"prod": 1}
        assert list(client.events(job_id)) == events


@pytest.mark.timeout(300)
def test_whatever_dies_is_started_again(tmp_path: Path, tiny_bert_folder: Path) -> None:
    with (
        skhost_up(tmp_path / "data", base=str(tiny_bert_folder)) as up,
        Client(up.url) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        wait_until(lambda: len(client.info()["workers"]) == 1, 30)
        for command in ("worker", "serve"):
            victim = up.child(command)
            assert victim is not None
            victim.kill()
            victim.wait(10)
            waiting = pool.submit(client.info)  # the socket stays: it waits, and is not refused
            wait_until(lambda c=command, v=victim: up.child(c) not in (None, v), 30)
            assert waiting.result(60)["versions"]
        (valkey,) = _valkeys(tmp_path)
        valkey.kill()
        wait_until(lambda: _valkeys(tmp_path) not in ([], [valkey]), 30)
        wait_until(lambda: client.is_ready() and client.adapters()["adapters"] == [], 30)
        log = up.log.read_text()
        assert "the worker ended (signal SIGKILL); starting it again" in log
        assert "the server ended (signal SIGKILL); starting it again" in log
        again = "the embedded Valkey server had ended and was started again"
        wait_until(lambda: again in up.log.read_text(), 30)  # it answers before this is logged


@pytest.mark.timeout(300)
def test_a_server_that_hangs_is_replaced(tmp_path: Path, tiny_bert_folder: Path) -> None:
    with (
        skhost_up(tmp_path / "data", base=str(tiny_bert_folder), stuck_after_s="4") as up,
        Client(up.url) as client,
    ):
        victim = up.child("serve")
        assert victim is not None
        assert client.is_ready()
        victim.suspend()
        wait_until(lambda: up.child("serve") not in (None, victim), 60)
        assert client.info()["versions"]  # who asked meanwhile waited, and was not refused
        log = up.log.read_text()
        assert "the server has answered nothing for 8 s" in log
        assert "the server ended (signal SIGKILL); starting it again" in log
        assert up.stop() == 0


@pytest.mark.timeout(200)
def test_ctrl_c_stops_everything_and_leaves_no_process(
    tmp_path: Path, tiny_bert_folder: Path
) -> None:
    with skhost_up(tmp_path / "data", base=str(tiny_bert_folder)) as up:
        family = psutil.Process(up.process.pid).children(recursive=True)
        assert len(family) >= 3
        assert up.stop(signal.SIGINT) == 0
        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == []
        assert "Traceback" not in up.log.read_text()


@pytest.mark.timeout(200)
def test_nobody_outlives_a_killed_supervisor_but_the_registry_which_is_adopted(
    tmp_path: Path, tiny_bert_folder: Path
) -> None:
    with skhost_up(tmp_path / "data", base=str(tiny_bert_folder)) as up:
        children = [child for command in ("serve", "worker") if (child := up.child(command))]
        assert len(children) == 2
        up.process.kill()
        up.process.wait(10)
        _, alive = psutil.wait_procs(children, timeout=30)
        assert alive == []
    (left,) = _valkeys(tmp_path)
    with skhost_up(tmp_path / "data", base=str(tiny_bert_folder)) as up, Client(up.url) as client:
        assert _valkeys(tmp_path) == [left]
        assert client.adapters()["adapters"] == []
    assert _valkeys(tmp_path) == []


@pytest.mark.timeout(120)
def test_what_cannot_start_ends_at_once_with_the_reason(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "skhost", "up", "--port", "0"),
            *("--data-dir", str(tmp_path), "--base", str(tmp_path / "nothing")),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=environment({}),
    )
    assert done.returncode == 1
    assert "nothing is neither a model folder nor a GGUF file" in done.stderr
    assert done.stderr.splitlines()[-1] == (
        "error: the server cannot start; the log above says why"
    )
    assert "Traceback" not in done.stderr


def _valkeys(folder: Path) -> list[psutil.Process]:
    """Valkey servers that work in this folder."""
    found = []
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] == str(folder / "data" / "valkey"):
            found.append(process)
    return found
