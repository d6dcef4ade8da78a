"""Settings from the environment and the command line, with errors people can act on."""

import difflib
import os
from typing import Any

from pydantic import ValidationError

from skhost.cli.session import CLIENT_VARIABLES, CommandError
from skhost.settings import PREFIX, Settings, check_environment

_SECRET = frozenset({"admin_key"})  # never in a message


def load_settings(**overrides: Any) -> Settings:
    """The settings; what is None in `overrides` was not given.

    Raises:
        CommandError: a name or a value that cannot work.
    """
    refuse_unknown_names(dict(os.environ))
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise CommandError("; ".join(map(_problem, error.errors())), exit_code=2) from error


def refuse_unknown_names(environ: dict[str, str]) -> None:
    """Refuse variables that look like settings and are none.

    Raises:
        CommandError: names the variables, each with the setting it may have meant.
    """
    unknown = [name for name in check_environment(environ) if name not in CLIENT_VARIABLES]
    if unknown:
        hints = ", ".join(name + _near(name) for name in unknown)
        raise CommandError(f"unknown setting in the environment: {hints}", exit_code=2)


def _near(name: str) -> str:
    known = [f"{PREFIX}{field}".upper() for field in Settings.model_fields]
    near = difflib.get_close_matches(name.upper(), known, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _problem(error: Any) -> str:
    where = f"{PREFIX}{error['loc'][0]}".upper() + ": " if error["loc"] else ""
    message = str(error["msg"]).removeprefix("Value error, ")
    is_shown = error["loc"] and error["loc"][0] not in _SECRET
    seen = f", got {str(error['input'])[:80]!r}" if is_shown else ""
    return f"{where}{message[:1].lower()}{message[1:]}{seen}"
