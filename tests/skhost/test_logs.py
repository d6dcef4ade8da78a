"""Log lines as text and as JSON."""

import json
import logging
import subprocess
import sys

import pytest

from skhost.logs import JsonFormatter, TextFormatter


def test_a_json_line_has_the_message_the_extras_and_the_time_of_the_record() -> None:
    record = logging.makeLogRecord(
        {"name": "a.b", "levelname": "INFO", "msg": "%d ü\n", "args": (3,), "job": "j1"}
    )
    record.created = 0.0
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00+00:00",
        "level": "info",
        "logger": "a.b",
        "message": "3 ü\n",
        "job": "j1",
    }


def failed_record(error: Exception) -> logging.LogRecord:
    try:
        raise error
    except type(error):
        return logging.makeLogRecord({"msg": "no", "job": "j1", "exc_info": sys.exc_info()})


def test_a_json_line_has_the_traceback() -> None:
    line = JsonFormatter().format(failed_record(RuntimeError("odd")))
    assert "RuntimeError: odd" in json.loads(line)["exception"]


def test_a_text_line_has_the_extras_and_the_traceback() -> None:
    first, *rest = TextFormatter().format(failed_record(RuntimeError("odd"))).splitlines()
    assert first.endswith(": no job=j1")
    assert rest[-1] == "RuntimeError: odd"


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_what_an_exception_quotes_is_not_logged(formatter: logging.Formatter) -> None:
    assert "private" not in formatter.format(failed_record(ValueError("private")))


@pytest.mark.parametrize(("log_format", "start"), [("text", "20"), ("json", '{"time"')])
def test_everything_goes_to_stderr_and_libraries_are_quiet(log_format: str, start: str) -> None:
    code = (
        "import logging; from skhost.logs import configure_logging;"
        f"configure_logging('info', '{log_format}');"
        "logging.getLogger('skhost.x').info('ours'); logging.getLogger('skhost.x').debug('no');"
        "logging.getLogger('httpx').info('theirs'); logging.getLogger('rq.worker').info('theirs')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(start)
    assert "ours" in line
