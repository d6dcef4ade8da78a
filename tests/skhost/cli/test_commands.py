"""The commands against a live server: what they show, and as JSON."""

import io
import json
from pathlib import Path

import httpx
import pytest
from commands import Skhost

pytestmark = pytest.mark.usefixtures("url")

ROWS = [{"text": f"text {i}", "label": f"l{i % 2}"} for i in range(20)]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A file that can be trained on."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_adapters_are_listed(skhost: Skhost) -> None:
    shown = skhost("adapters", "ls")
    assert shown.code == 0
    assert "mood" in shown.out
    assert "prod→2" in shown.out
    assert [a["name"] for a in skhost("adapters", "ls", "--json").json] == ["feelings", "mood"]


def test_json_may_stand_before_or_behind_the_command(skhost: Skhost) -> None:
    assert skhost("--json", "adapters", "ls").json == skhost("adapters", "ls", "--json").json


def test_an_adapter_is_shown_with_its_digests(skhost: Skhost) -> None:
    value = skhost("adapters", "show", "mood", "--json").json
    shown = skhost("adapters", "show", "mood")
    for version in value["versions"]:
        assert version["digest"][:19] in shown.out


def test_an_adapter_is_promoted_rolled_back_and_aliased(skhost: Skhost) -> None:
    assert skhost("adapters", "promote", "mood", "1").out == "mood@prod is version 1 now\n"
    assert skhost("adapters", "rollback", "mood").out == "mood@prod is version 2 again\n"
    assert skhost("adapters", "alias", "mood", "canary", "1", "--json").json["aliases"] == {
        "canary": 1,
        "prod": 2,
    }
    assert skhost("adapters", "alias", "mood", "canary", "--delete").code == 0
    both = skhost("adapters", "alias", "mood", "canary")
    assert (both.code, both.err) == (2, "error: give either a VERSION or --delete\n")


def test_an_adapter_is_pinned_and_let_go(skhost: Skhost) -> None:
    assert skhost("adapters", "pin", "feelings").out == "feelings stays in memory\n"
    assert skhost("adapters", "show", "feelings", "--json").json["pinned"] is True
    let_go = skhost("adapters", "pin", "feelings", "--off").out
    assert let_go == "feelings comes and goes with its use\n"


def test_an_adapter_goes_out_and_comes_in(skhost: Skhost, tmp_path: Path) -> None:
    archive = tmp_path / "mood.tar.gz"
    out = skhost("adapters", "export", "mood@1", "-o", str(archive), "--json").json
    assert out["bytes"] == archive.stat().st_size
    back = skhost("adapters", "import", str(archive), "--name", "copy", "--json").json
    assert (back["digest"], back["version"]) == (out["digest"], 1)
    assert list(tmp_path.iterdir()) == [archive]
    assert skhost("adapters", "rm", "copy", "--yes").out == "copy is removed\n"
    assert skhost("adapters", "show", "copy").code == 1


def test_nothing_is_removed_without_a_yes(skhost: Skhost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    answer = skhost("adapters", "rm", "mood")
    assert answer.code == 1
    assert "nothing was removed" in answer.err
    assert skhost("adapters", "show", "mood").code == 0


def test_texts_from_the_line_a_file_and_stdin_get_the_same_answers(
    skhost: Skhost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["good text", "very bad"]
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(texts) + "\n\n")
    line = skhost("classify", "--adapter", "mood", "--json", *texts)
    assert [answer["text"] for answer in line.lines] == texts
    assert {"label", "score", "scores", "version"} <= set(line.lines[0])
    assert skhost("classify", "-a", "mood", "--json", "-f", str(file)).lines == line.lines
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("\n".join(texts).encode())))
    assert skhost("classify", "-a", "mood", "--json").lines == line.lines


def test_many_texts_are_answered_in_order(skhost: Skhost, tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("".join(f"text {i}\n" for i in range(150)))
    answers = skhost("classify", "-a", "mood", "--json", "-f", str(file)).lines
    assert [answer["text"] for answer in answers] == [f"text {i}" for i in range(150)]


def test_a_text_that_cannot_be_classified_is_an_error_beside_the_others(skhost: Skhost) -> None:
    answer = skhost("classify", "-a", "mood", "--json", "good", " ")
    assert answer.code == 1
    assert "label" in answer.lines[0]
    assert answer.lines[1]["error"]["code"] == "invalid_input"
    assert answer.err == "error: 1 texts could not be classified; the lines above say why\n"


def test_a_table_shows_texts_as_they_are(skhost: Skhost) -> None:
    shown = skhost("classify", "-a", "mood", "[bold]good[/bold]").out
    assert "[bold]good[/bold]" in shown
    assert "mood@2" in shown


def test_a_job_is_submitted_listed_cancelled_and_resumed(skhost: Skhost, rows: Path) -> None:
    job = skhost("train", str(rows), "--name", "n", "--epochs", "1", "--detach", "--json").json
    assert job["request"]["spec"]["training"]["epochs"] == 1
    listed = skhost("jobs", "ls")
    assert job["id"] in listed.out
    assert "no worker is running" in listed.out
    assert skhost("jobs", "ls", "--json").json[0]["id"] == job["id"]
    assert skhost("jobs", "cancel", job["id"]).out == f"job {job['id']} is cancelled\n"
    watched = skhost("jobs", "watch", job["id"])
    assert watched.code == 1
    assert watched.err.endswith(f"error: job {job['id']} was cancelled\n")
    assert skhost("jobs", "resume", job["id"], "--json").json["state"] == "queued"
    assert skhost("jobs", "cancel", job["id"]).code == 0


def test_watching_as_json_writes_an_event_a_line(skhost: Skhost, rows: Path) -> None:
    job = skhost("train", str(rows), "--name", "m", "--detach", "--json").json
    skhost("jobs", "cancel", job["id"])
    events = skhost("jobs", "watch", job["id"], "--json").lines
    assert [e["state"] for e in events if e["event"] == "state"] == ["queued", "cancelled"]


def test_what_the_file_holds_is_warned_about(skhost: Skhost, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    odd = [*ROWS, {"text": "once", "label": "L1"}, {"text": "once more", "label": "L1"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in odd))
    answer = skhost("train", str(file), "--name", "w", "--detach")
    job_id = answer.err.split()[1]
    assert answer.code == 0
    assert "rows to learn from" in answer.err
    assert 'these labels look like one: "l1", "L1"' in answer.err
    skhost("jobs", "cancel", job_id)


def test_a_file_that_is_refused_is_one_clear_line(skhost: Skhost, tmp_path: Path) -> None:
    file = tmp_path / "one.jsonl"
    file.write_text('{"text": "a", "label": "x"}\n' * 5)
    answer = skhost("train", str(file), "--name", "n")
    assert answer.code == 1
    assert answer.out == ""
    assert answer.err.startswith("error: one.jsonl: ")
    assert answer.err.count("\n") == 1


def test_the_server_that_is_named_is_used(skhost: Skhost, url: str) -> None:
    assert skhost("--url", url, "adapters", "ls").code == 0
    assert httpx.get(f"{url}/livez").status_code == 200
    assert skhost("adapters", "ls", "--url", "http://127.0.0.1:1").code == 1
