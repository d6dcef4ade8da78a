"""A server whose device fails ends by itself, and says so."""

import gc
import socket
import subprocess
import sys
from pathlib import Path

import failing_server
import httpx
import pytest
from live_server import live_server, wait_until

from skhost.exits import DEVICE_FAILED, NOT_AGAIN
from skhost.server import bind
from skhost.settings import Settings


def test_a_process_whose_device_is_stuck_for_good_ends_non_zero(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    arguments = [str(port), str(tiny_bert_folder), str(tmp_path)]
    ended = subprocess.run(
        [sys.executable, failing_server.__file__, *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == DEVICE_FAILED, ended.stderr
    assert "the device has finished nothing for" in ended.stderr
    assert DEVICE_FAILED not in NOT_AGAIN  # `skhost up` starts it again


@pytest.mark.parametrize("is_passed_on", [False, True])
def test_an_answer_s_body_does_not_wait_until_its_head_is_acknowledged(is_passed_on: bool) -> None:
    with bind("127.0.0.1", 0) as listener:
        of_child = socket.socket(fileno=listener.detach()) if is_passed_on else listener
        with of_child, socket.create_connection(of_child.getsockname()):
            accepted, _ = of_child.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_livez_tells_of_a_device_that_is_lost_and_the_server_ends(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, base=str(tiny_bert_folder), drain_timeout_s=20)
    with live_server(settings) as live, httpx.Client(base_url=live.url, timeout=30) as http:
        assert http.get("/livez").json() == {"status": "alive"}
        live.services.engine.runner._lose("somebody took it")
        answer = http.get("/livez")
        assert answer.status_code == 503
        assert "somebody took it" in answer.json()["error"]["message"]
        wait_until(live.loop.is_closed, 60)
        assert live.server.failure == "the device is lost: somebody took it"


def test_the_collector_passes_over_what_a_server_is_made_of(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    thresholds = (700, 10, 10)
    gc.set_threshold(*thresholds)  # of servers that ran at once, the last to end left its own
    gc.unfreeze()
    before = gc.get_freeze_count()
    with live_server(Settings(data_dir=tmp_path, base=str(tiny_bert_folder))):
        wait_until(lambda: gc.get_freeze_count() > 10 * len(gc.get_objects()), 30)
        assert gc.get_threshold() > thresholds
    assert gc.get_freeze_count() == before
    assert gc.get_threshold() == thresholds
