"""What the command line says when it cannot: one line, an exit code, never a traceback."""

import http.server
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from commands import Skhost

import skhost as package
from skhost.server import bind


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["adapters", "lst"], 2, "No such command 'lst'. Did you mean 'ls'?"),
        (["classify", "good"], 2, "Missing option '--adapter'"),
        (["classify", "-a", "x", "--top-k", "two", "t"], 2, "Invalid value for '--top-k'"),
        (["train", "nowhere.csv", "--name", "n"], 2, "nowhere.csv: there is no such file"),
        (["classify", "-a", "x", "-f", "nowhere.txt"], 1, "nowhere.txt: No such file"),
        (["classify", "-a", "x", "-f", "a.txt", "text"], 2, "give either TEXT or --file"),
        (["adapters", "ls"], 1, "cannot reach http://127.0.0.1:9"),
        (["adapters", "ls", "--url", "nonsense"], 1, "nonsense"),
        (
            ["adapters", "import", "nowhere.tar.gz", "--name", "n"],
            1,
            "nowhere.tar.gz: No such file",
        ),
        (["serve", "--port", "70000"], 2, "SKHOST_PORT: input should be less than or equal to"),
        (["serve", "--host", "0.0.0.0"], 2, "SKHOST_ALLOW_REMOTE=true"),
        (["keys", "create"], 2, "Missing option '--scope'"),
        (["keys", "create", "--scope", "root"], 2, "'root' is not one of"),
        (["keys", "create", "--scope", "train", "--tenant", "A"], 2, "SKHOST_TENANT: "),
        (["keys", "create", "--scope", "train", "--tokens", "9"], 2, "looks like 600/minute"),
        (["keys", "revoke", "nobody"], 1, "there is no key 'nobody'"),
        (["serve", "--host", "203.0.113.1"], 2, "can be reached from outside"),
        (["up", "--data-dir", "/proc/none"], 1, "cannot use data directory /proc/none"),
    ],
)
def test_one_line_says_what_is_wrong(
    skhost: Skhost,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("SKHOST_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SKHOST_DATA_DIR", str(tmp_path))
    answer = skhost(*arguments)
    assert answer.code == code
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert message in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("command", ["serve", "up", "worker"])
def test_a_misspelt_setting_is_refused_with_a_near_one(
    skhost: Skhost, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("SKHOST_MAX_WATING_ITEMS", "3")
    answer = skhost(command)
    assert answer.code == 2
    assert answer.err == (
        "error: unknown setting in the environment: SKHOST_MAX_WATING_ITEMS "
        "(did you mean SKHOST_MAX_WAITING_ITEMS?)\n"
    )


def test_a_port_that_is_taken_is_refused_at_once(skhost: Skhost, tmp_path: Path) -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        answer = skhost("up", "--port", str(port), "--data-dir", str(tmp_path))
    assert answer.code == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in answer.err


def test_a_server_that_is_none_of_ours(skhost: Skhost) -> None:
    class Plain(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Plain) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        answer = skhost("adapters", "ls", "--url", f"http://127.0.0.1:{other.server_port}")
        other.shutdown()
        thread.join()
    assert answer.code == 1
    assert "but not as a skhost server does" in answer.err


def test_the_version_is_the_packages(skhost: Skhost) -> None:
    assert skhost("version").out == f"skhost {package.__version__}\n"
    assert skhost("version", "--json").json == {"version": package.__version__}


def test_help_needs_neither_torch_nor_a_server() -> None:
    code = (
        "import sys; from skhost.cli import run; run(['--help']);"
        "heavy = {'torch', 'transformers', 'fastapi', 'redis', 'httpx'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "Use a server" in done.stdout


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "skhost", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(60) in {0, 1}
        assert b"Traceback" not in process.stderr.read()


def test_every_command_explains_itself(skhost: Skhost) -> None:
    adapters = ["ls", "show", "promote", "rollback", "alias", "rm", "export", "import"]
    for command in (
        *(["up"], ["serve"], ["worker"], ["train"], ["classify"], ["version"]),
        *(["adapters", name] for name in adapters),
        *(["jobs", name] for name in ("ls", "watch", "cancel", "resume")),
    ):
        answer = skhost(*command, "--help")
        assert answer.code == 0
        assert "Usage: " in answer.out
