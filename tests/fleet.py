"""Servers and workers as processes of their own, and rows to train on."""

import json
import subprocess
import sys
from pathlib import Path

ROWS = "".join(
    json.dumps({"text": f"{word} {thing}", "label": label}) + "\n"
    for thing in ("film", "book", "meal", "hotel", "phone", "train", "song", "room", "shop", "tea")
    for word, label in (("a wonderful", "good"), ("a terrible", "bad"))
)
SERVE = ("serve", "--json", "--port", "0")
WORK = ("worker",)


def start(data_dir: Path, *arguments: str) -> subprocess.Popen[str]:
    """A process of the service with a data folder of its own, as on a host of its own."""
    command = [sys.executable, "-m", "skhost", *arguments, "--data-dir", str(data_dir)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def line_of(process: subprocess.Popen[str]) -> str:
    """The first line that it writes."""
    assert process.stdout is not None
    with process.stdout as lines:
        return lines.readline()
