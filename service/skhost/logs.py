"""Logging: one `dictConfig`, applied by the command line and by nobody else.

A record's message is for people; what programs look for comes as `extra`. Neither ever holds a text
that somebody sent, nor an API key.
"""

import json
import logging
import logging.config
from datetime import UTC, datetime
from typing import Any

from skhost.audit import LOGGER
from skhost.tracebacks import formatted

# What every LogRecord has; anything else on a record was passed as `extra`.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message"}

_LIBRARIES = (
    *("httpx", "httpcore", "rq", "rq.worker", "transformers", "fsspec", "sse_starlette"),
    *("asyncio", "uvicorn.error", "uvicorn.access"),
)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message and what came as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= extras(record)
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = formatted(record.exc_info[1])
        return json.dumps(line, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """The same for people: one line, `extra` as key=value behind the message."""

    def format(self, record: logging.LogRecord) -> str:
        when = self.formatTime(record)
        line = f"{when} {record.levelname:<7} {record.name}: {record.getMessage()}"
        line += "".join(f" {key}={value}" for key, value in extras(record).items())
        if record.exc_info and record.exc_info[1] is not None:
            line += f"\n{formatted(record.exc_info[1])}"
        return line


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """What a record was given as `extra`."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def logging_config(level: str, log_format: str) -> dict[str, Any]:
    """The `dictConfig` for a level name and "text" or "json"; everything goes to stderr."""
    stderr = {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"}
    formatters: dict[str, Any] = {
        "text": {"()": TextFormatter},
        "json": {"()": JsonFormatter},
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": formatters,
        "handlers": {
            "stderr": {**stderr, "formatter": log_format},
            "audit": {**stderr, "formatter": "json"},
        },
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        # Their info lines tell an operator nothing; warnings still come through.
        "loggers": {
            **{name: {"level": "WARNING"} for name in _LIBRARIES},
            # For programs, whatever the level and the format of the rest.
            LOGGER: {"level": "INFO", "handlers": ["audit"], "propagate": False},
        },
    }


def configure_logging(level: str, log_format: str) -> None:
    """Set the process's logging up; called once, by the command line."""
    logging.config.dictConfig(logging_config(level, log_format))
