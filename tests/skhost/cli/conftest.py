"""A live server and a way to run commands against it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Ran, Skhost
from live_server import LiveServer, live_server, publish

from skhost.audit import LOGGER as AUDIT_LOGGER
from skhost.cli import run
from skhost.settings import Settings
from sktuning.config import Task


@pytest.fixture
def skhost(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Skhost:
    """Runs a command as the console script does."""
    monkeypatch.setenv("COLUMNS", "200")

    loggers = (logging.getLogger(), logging.getLogger(AUDIT_LOGGER))
    before = [(each, each.handlers[:], each.level, each.propagate) for each in loggers]

    def skhost(*arguments: str) -> Ran:
        capsys.readouterr()
        code = run(list(arguments))
        written = capsys.readouterr()
        for logger, handlers, level, propagate in before:  # a command may have configured logging
            logger.handlers[:], logger.propagate = handlers, propagate
            logger.setLevel(level)
        return Ran(code, written.out, written.err)

    return skhost


@pytest.fixture(scope="session")
def cli_server(
    tiny_bert_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """A server with two adapters; no worker."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("cli"), base=str(tiny_bert_folder), drain_timeout_s=1
    )
    with live_server(settings) as live:
        publish(live, "mood", seed=1)
        publish(live, "mood", seed=2)
        publish(live, "feelings", Task.MULTI_LABEL)
        yield live


@pytest.fixture
def url(cli_server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """That server's URL, also in the environment."""
    monkeypatch.setenv("SKHOST_URL", cli_server.url)
    return cli_server.url
