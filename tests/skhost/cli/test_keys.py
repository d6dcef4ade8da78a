"""`skhost keys`, and commands that send one."""

from pathlib import Path

import httpx
import pytest
from commands import Skhost
from live_server import live_server, publish, wait_until

from skhost.access.token import parse_hashed, parse_token
from skhost.settings import Settings


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands and a server find the registry."""
    monkeypatch.setenv("SKHOST_DATA_DIR", str(tmp_path))
    return tmp_path


def test_a_key_is_made_listed_rotated_and_revoked(skhost: Skhost, data_dir: Path) -> None:
    made = skhost("keys", "create", "--scope", "classify", "--tenant", "acme", "--name", "shop")
    assert made.code == 0
    token = parse_token(made.out.strip())
    assert token is not None
    assert "not shown again" in made.err
    (listed,) = skhost("keys", "ls", "--json").json
    assert (listed["id"], listed["tenant"], listed["state"]) == (token.id, "acme", "active")
    assert (listed["scopes"], listed["name"]) == (["classify"], "shop")
    assert "shop" in skhost("keys", "ls").out
    rotated = skhost("keys", "rotate", token.id, "--json").json
    assert parse_token(rotated["key"]) is not None
    assert (rotated["scopes"], rotated["tenant"]) == (["classify"], "acme")
    assert skhost("keys", "revoke", token.id).out == f"key {token.id} is revoked\n"
    states = {each["id"]: each["state"] for each in skhost("keys", "ls", "--json").json}
    assert states == {token.id: "revoked", rotated["id"]: "active"}
    again = skhost("keys", "rotate", token.id)
    assert (again.code, again.err.count("\n")) == (1, 1)
    assert "is revoked" in again.err


def test_a_key_for_an_orchestrators_secret(skhost: Skhost, monkeypatch: pytest.MonkeyPatch) -> None:
    made = skhost("keys", "new", "--json").json
    assert parse_hashed(made["key"]) == parse_hashed(made["hashed"])
    monkeypatch.setenv("SKHOST_ADMIN_KEY", made["key"][:-1])
    refused = skhost("serve")
    assert (refused.code, refused.out) == (2, "")
    assert "SKHOST_ADMIN_KEY: neither a key" in refused.err
    assert made["key"][:-1] not in refused.err


def test_commands_send_the_key_of_the_environment(
    skhost: Skhost, data_dir: Path, tiny_bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=data_dir, base=str(tiny_bert_folder), drain_timeout_s=1)
    with live_server(settings) as live:
        publish(live, "mood", seed=1)
        monkeypatch.setenv("SKHOST_URL", live.url)
        assert skhost("adapters", "ls").code == 0
        key = skhost("keys", "create", "--scope", "classify").out.strip()
        wait_until(lambda: httpx.get(f"{live.url}/adapters").status_code == 401)
        refused = skhost("adapters", "ls")
        assert refused.code == 1
        assert "this needs an API key" in refused.err
        monkeypatch.setenv("SKHOST_API_KEY", key)
        assert "mood" in skhost("adapters", "ls").out
        assert skhost("classify", "-a", "mood", "good").code == 0
        texts = data_dir / "texts.txt"
        texts.write_text("good\nbad\n")
        assert skhost("classify", "-a", "mood", str(texts)).code == 0  # a stream
        assert "scope train" in skhost("jobs", "ls").err
        assert skhost("keys", "limit", "default", "--requests", "1/hour").code == 0
        wait_until(lambda: "may use 1 requests a hour" in skhost("adapters", "ls").err)
