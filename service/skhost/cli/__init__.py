"""The command line: `skhost …`. The only part that configures logging and writes to stdout."""

import os
import sys

from skhost.cli.app import build
from skhost.cli.session import CommandError

INTERRUPTED = 130


def main() -> None:
    """The console script: run the command and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command; any error is one line on stderr and an exit code, never a traceback."""
    try:
        code = build()(arguments, prog_name="skhost", standalone_mode=False)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read stdout has had enough; nothing is left to be flushed there at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        sys.stderr.write(f"error: {_message(error)}\n")
        return _exit_code(error)
    return code if isinstance(code, int) else 0


def _message(error: Exception) -> str:
    """One line: what commands raise has a message for the user, anything else gets its type."""
    text = " ".join(_text(error).split())
    return text or type(error).__name__


def _text(error: Exception) -> str:
    if (usage := getattr(error, "format_message", None)) is not None:
        return str(usage())
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, CommandError) or hasattr(error, "message"):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _exit_code(error: Exception) -> int:
    code = getattr(error, "exit_code", 1)
    return code if isinstance(code, int) else 1
