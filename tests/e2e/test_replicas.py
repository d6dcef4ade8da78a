"""Servers and workers as separate processes that share one registry and one store in S3."""

import json
from pathlib import Path

import hosts
import pytest
from fleet import ROWS, SERVE, WORK, line_of, start
from live_server import wait_until
from running_benchmark import rows_of

from skhost.client import Client
from skhost.valkey import EmbeddedValkey

START_WITHIN_S = 200.0


@pytest.mark.timeout(600)
def test_all_serve_what_one_promotes_and_who_was_cut_off_catches_up(
    tiny_bert_folder: Path, tmp_path: Path, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKHOST_BASE", str(tiny_bert_folder))
    small = ("--replicas", "3", "--promotions", "20", "--cuts", "2")
    figures = tmp_path / "figures.json"
    (row,) = rows_of("replicas", figures, *small, "--store", f"{s3_url}/replicas")
    assert (row["replicas"], row["promotions"], row["times_cut_off"]) == (3, 20, 2)
    assert (row["failed_requests"], row["went_back"]) == (0, 0)
    assert row["requests"] >= 20 * (3 + 3)


@pytest.mark.skipif(not hosts.are_possible(), reason="needs root and iproute2")
@pytest.mark.timeout(600)
def test_servers_on_hosts_of_their_own_catch_up_after_a_silent_partition(
    tiny_bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKHOST_BASE", str(tiny_bert_folder))
    small = ("--hosts", "--replicas", "2", "--promotions", "4", "--cuts", "1")
    (row,) = rows_of("replicas", tmp_path / "figures.json", *small)
    assert (row["replicas"], row["promotions"], row["times_cut_off"]) == (2, 4, 1)
    assert (row["failed_requests"], row["went_back"]) == (0, 0)
    assert row["caught_up_max_ms"] > 0


@pytest.mark.timeout(600)
def test_what_any_worker_trains_every_server_serves(
    tiny_bert_folder: Path, tmp_path: Path, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.jsonl").write_text(ROWS)
    with EmbeddedValkey(tmp_path / "registry") as valkey:
        monkeypatch.setenv("SKHOST_REDIS_URL", valkey.url)
        monkeypatch.setenv("SKHOST_STORE_URL", f"{s3_url}/fleet")
        monkeypatch.setenv("SKHOST_BASE", str(tiny_bert_folder))
        fleet = [start(tmp_path / f"host{i}", *kind) for i, kind in enumerate((SERVE, SERVE, WORK))]
        fleet.append(start(tmp_path / "host3", *WORK))
        try:
            urls = [str(json.loads(line_of(each))["url"]) for each in fleet[:2]]
            with Client(urls[0]) as first, Client(urls[1]) as second:
                wait_until(lambda: first.is_ready() and second.is_ready(), START_WITHIN_S)
                wait_until(lambda: len(first.info()["workers"]) == 2, START_WITHIN_S)
                names = ("one", "two", "three", "four")
                jobs = [
                    client.train(tmp_path / "rows.jsonl", name, epochs=1)["id"]
                    for name, client in zip(names, (first, second) * 2, strict=True)
                ]
                for job in jobs:
                    states = [e.data["state"] for e in second.events(job) if e.kind == "state"]
                    assert states[-1] == "succeeded"
                for name in names:
                    wait_until(lambda name=name: name in served_by(second))
                    answers = [c.classify(name, text="a meal") for c in (first, second)]
                    assert answers[0]["digest"] == answers[1]["digest"]
                    assert answers[0]["results"] == answers[1]["results"]
        finally:
            for each in fleet:
                each.terminate()
            codes = [each.wait(60) for each in fleet]
            for each in fleet:
                assert each.stdout is not None
                each.stdout.close()
        assert codes == [0, 0, 0, 0]


def served_by(client: Client) -> set[str]:
    """The adapters that a server knows."""
    return {adapter["name"] for adapter in client.adapters()["adapters"]}
